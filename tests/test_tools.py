"""The tools and the Makefile, as a newcomer and an author meet them."""

import importlib.metadata
import inspect
import os
import re
import socket
import subprocess
import sys

import pytest

import course
from course import times
from course.notebooks import BUILD, ROOT, CourseError, address, read, write
from course.running import cached, open_cache, pulled_in
from course.sync import stub, sync

NAME = "01_software2"


def run(*command, cwd=ROOT, **env):
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **env}, timeout=570
    )


def verb(*words, cwd=ROOT, **env):
    return run(sys.executable, "-m", "course", *words, cwd=cwd, **env)


def test_load_gives_functions_with_source():
    chapter = course.load(NAME)
    functions = [
        f
        for f in vars(chapter).values()
        if inspect.isfunction(f) and f.__module__.startswith("lectures")
    ]
    assert functions and all(
        "def " in inspect.getsource(f) or "lambda" in inspect.getsource(f) for f in functions
    )


def test_load_of_a_missing_chapter_names_those_there_are():
    with pytest.raises(CourseError, match=NAME):
        course.load("77_nothing")


def test_help_lists_the_verbs():
    text = verb("--help").stdout
    assert all(
        word in text for word in ("sync", "grade", "new", "scorecard", "execute", "book", "serve")
    )


@pytest.mark.parametrize("name", ["1_short", "05-response", "05_Response", "../05_x", ""])
def test_new_refuses_other_names(name):
    with pytest.raises(CourseError, match="NN_subject"):
        course.new.create(name) if hasattr(course, "new") else __import__(
            "course.new", fromlist=["create"]
        ).create(name)


def test_new_touches_nothing_that_exists():
    done = verb("new", f"{NAME[:2]}_other")
    assert done.returncode == 2 and "exists already" in done.stderr


def test_stub_needs_its_markers():
    with pytest.raises(CourseError, match="markers"):
        stub("# Exercise 2.1\ndef f(x):\n    return x\n")
    assert (
        stub(
            "# Exercise 2.1\ndef f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END "
            "SOLUTION\n"
        )
        == '# Exercise 2.1\ndef f(x):\n    raise NotImplementedError("Exercise 2.1")\n'
    )


def test_a_new_chapter_passes_every_check(copy_of_the_course):
    """`new`, then run it, hold it against the contracts, and build its pages, warnings as
    errors."""
    root, name = copy_of_the_course, "99_example"
    here = {"cwd": root, "PYTHONPATH": str(root), "ONLY": name}
    assert verb("new", name, **here).returncode == 0
    assert f"lectures/{name}" in (root / "_toc.yml").read_text()
    done = verb("book", **here)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"lectures/{name}" in done.stdout and NAME not in done.stdout
    files = ["tests/test_lectures.py", "tests/test_exercises.py", f"tests/test_{name}.py"]
    done = run(sys.executable, "-m", "pytest", *files, "-k", name, **here)
    assert done.returncode == 0, done.stdout


def test_a_fork_changes_one_line(copy_of_the_course):
    root = copy_of_the_course
    config = root / "_config.yml"
    config.write_text(
        config.read_text().replace(address()["repository"], "https://github.com/ada/lessons-2")
    )
    assert verb("sync", "--check", cwd=root, PYTHONPATH=str(root)).returncode == 2
    sync(root)
    slug = address()["slug"]
    left = [
        p
        for p in root.rglob("*")
        if p.is_file()
        and p.suffix in (".md", ".ipynb", ".yml", ".cff", ".py", ".toml", ".json")
        and "_build" not in p.parts
        and "vendor" not in p.parts
        and slug in p.read_text(encoding="utf-8")
    ]
    assert left == []
    assert "ada/lessons-2" in (root / "README.md").read_text() and sync(root, check=True) == []


def test_a_changed_solution_is_noticed(copy_of_the_course):
    root = copy_of_the_course
    path = root / "solutions" / f"{NAME}.ipynb"
    notebook = read(path)
    next(
        c for c in notebook.cells if "solution" in c.metadata.get("tags", [])
    ).source += "\n# changed"
    write(notebook, path)
    assert path in sync(root, check=True)


def test_a_failing_notebook_fails_the_book(copy_of_the_course):
    root = copy_of_the_course
    path = root / "lectures" / f"{NAME}.ipynb"
    notebook = read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[1].source += "\nassert False, 'as the test wants'"
    write(notebook, path)
    done = verb("execute", cwd=root, PYTHONPATH=str(root))
    assert (
        done.returncode == 2
        and "as the test wants" in done.stderr
        and f"lectures/{NAME}" in done.stderr
    )


@pytest.mark.parametrize("room", ["lectures", "solutions"])
def test_a_missing_notebook_gets_a_sentence(room, copy_of_the_course):
    root = copy_of_the_course
    (root / room / f"{NAME}.ipynb").unlink()
    done = verb("book", cwd=root, PYTHONPATH=str(root))
    assert (
        done.returncode == 2
        and f"{room}/{NAME}, which does not exist" in done.stderr
        and done.stderr.count("\n") == 1
    )


def test_prose_changes_run_nothing(copy_of_the_course):
    root = copy_of_the_course
    path = root / "lectures" / f"{NAME}.ipynb"
    path.write_text(
        path.read_text().replace(
            "## Summary", '## Summary\\n",\n    "\\n",\n    "A new paragraph.', 1
        )
    )
    assert "Nothing was run" in verb("execute", cwd=root, PYTHONPATH=str(root)).stdout


def test_serve_says_when_the_port_is_busy():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        done = verb("serve", "--port", str(port))
    assert (
        done.returncode == 2
        and f"Port {port} is in use" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_serve_says_when_there_is_no_book():
    done = verb("serve", COURSE_BUILD="_build-none")
    assert done.returncode == 2 and "make book" in done.stderr


def test_make_says_when_python_is_missing(tmp_path):
    for python in ("/no/such/python", ""):
        done = run("make", "book", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}")
        assert (
            done.returncode != 0
            and "Python 3.11 or later" in done.stderr
            and "Traceback" not in done.stderr
        )


def test_make_says_when_the_installation_fails(tmp_path):
    (tmp_path / "requirements.txt").write_text("no-such-package-of-the-course==1\n")
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    done = run("make", "book", cwd=tmp_path, PIP_NO_INDEX="1", PIP_FIND_LINKS="", PIP_RETRIES="0")
    assert done.returncode != 0 and "The installation failed" in done.stderr


def test_make_targets_are_told():
    text = run("make", "help").stdout
    assert all(
        re.search(rf"^{target}\s", text, re.MULTILINE)
        for target in (
            "book",
            "serve",
            "lab",
            "grade",
            "test",
            "sync",
            "format",
            "mutants",
            "times",
        )
    )


def test_requirements_admit_colab():
    """A reader's requirements admit Colab's pins, so installing them there changes neither jax nor
    numpy."""
    from packaging.requirements import Requirement

    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints-colab.txt").read_text().split()
        if "==" in line
    )
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line := line.split("#")[0].strip():
            requirement = Requirement(line)
            assert (
                requirement.specifier.contains(pins.get(requirement.name, "0"))
                or requirement.name not in pins
            ), line


def test_what_was_run_is_known_by_what_notebooks_may_import():
    """Neither pytest's friends nor Dask nor a linter are in it: installing them executes nothing
    anew."""
    packages = pulled_in(ROOT / "requirements.txt")
    assert {"jax", "jaxlib", "numpy", "equinox", "ipykernel"} <= set(packages)
    assert not {"distributed", "ruff", "playwright", "jupyterlab", "pytest-xdist"} & set(packages)


def test_a_cache_is_not_emptied_while_it_is_read(copy_of_the_course):
    """Opening it writes nothing if nothing has changed, so that two processes may."""
    root = copy_of_the_course
    used = root / BUILD / "executed-with.txt"
    before = used.stat().st_mtime_ns
    cache = open_cache(root)
    assert used.stat().st_mtime_ns == before
    assert cached(root / "lectures" / f"{NAME}.ipynb", cache)
    used.write_text("python==2.7\n")
    assert not cached(root / "lectures" / f"{NAME}.ipynb", open_cache(root))


def test_lock_says_what_was_run():
    lock = (ROOT / BUILD / "requirements.lock").read_text()
    assert f"jax=={importlib.metadata.version('jax')}\n" in lock and sys.version_info >= (3, 11)


@pytest.mark.parametrize("room", ["python", "notebooks"])
def test_ruff_finds_nothing(room):
    """`make format` mends what it can."""
    words = ["--config", "ruff-notebooks.toml", "lectures", "solutions"]
    words = words if room == "notebooks" else ["."]
    for command in (["check", "--quiet"], ["format", "--check", "--quiet"]):
        done = run(sys.executable, "-m", "ruff", *command, *words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_times_are_told_and_budgets_enforced(tmp_path):
    tests = {f"tests/test_{NAME}.py::test_x": 61.0, "tests/test_tools.py::test_y": 10.0}
    times.record(tmp_path, tests=tests, phases={"pages": 1.0, "tests": 2.0}, test_mib=5000.0)
    assert times.recorded(tmp_path)["tests"] == tests
    assert times.by_chapter(tests) == {NAME: 61.0, "": 10.0}
    (tmp_path / "lectures").mkdir()
    (tmp_path / "requirements.txt").write_text("numpy\n")
    told = times.overruns(root=tmp_path)
    assert len(told) == 2 and NAME in told[0] and "5000 MiB" in told[1]
