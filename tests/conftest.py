"""What several test files share."""

import importlib.util
from pathlib import Path

import pytest

from course.notebooks import ROOT


def answers(name: str) -> dict:
    """The right and wrong answers that are kept for chapter `name`."""
    path = ROOT / "tests" / "answers" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"answers_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ANSWERS


class lazily:
    """Chapter `name` as `course.load` gives it, loaded when a name of it is first asked for."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str):
        import course

        loaded = course.load(self._name)
        self.__dict__.update(vars(loaded))
        return getattr(loaded, attribute)


@pytest.fixture
def copy_of_the_course(tmp_path) -> Path:
    """The course in a folder of its own, with what was built, for tests that change files."""
    import shutil

    leave = shutil.ignore_patterns(".git", ".venv*", "__pycache__", "html", ".ipynb_checkpoints")
    return Path(shutil.copytree(ROOT, tmp_path / "course", ignore=leave))
