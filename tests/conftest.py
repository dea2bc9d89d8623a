"""What several test files share: kept answers, chapters loaded when needed, a copy of the course;
and how the suite runs: one chapter's tests in one process, one after the other, their times
recorded."""

import ctypes
import gc
import importlib.util
import re
import resource
import shutil
import sys
import time
from pathlib import Path

import pytest

from course import times
from course.notebooks import ROOT, chapters

SLOW_FIRST = ("test_gradebook", "test_tools", "test_grader")  # so that no core waits at the end
LOADED = []  # the chapters that this process has loaded


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
        import warm

        import course

        warm.compile_quickly()
        loaded = vars(course.load(self._name))
        self.__dict__.update(loaded)
        LOADED.append(self)
        return loaded[attribute]


def forget() -> None:
    """Give back the memory of chapters that were loaded and of what was compiled for them."""
    if "jax" not in sys.modules:
        return
    import jax
    import warm

    for chapter in LOADED:
        name = chapter._name
        chapter.__dict__.clear()
        chapter._name = name
    LOADED.clear()
    warm.given.cache_clear()
    warm.expected.cache_clear()
    jax.clear_caches()
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


@pytest.fixture
def copy_of_the_course(tmp_path) -> Path:
    """The course in a folder of its own, with what was built, for tests that change files."""
    leave = shutil.ignore_patterns(
        ".git", ".venv*", "__pycache__", "html", ".doctrees", "only", ".ipynb_checkpoints"
    )
    return Path(shutil.copytree(ROOT, tmp_path / "course", ignore=leave))


# How the suite runs ---------------------------------------------------------------------------


def group(nodeid: str) -> str:
    """The tests that share a process: those of a chapter, or of the class that is graded once."""
    file, _, test = nodeid.partition("::")
    if test.startswith("test_class_"):
        return "class"
    if Path(file).stem in (*SLOW_FIRST, "test_browser"):
        return nodeid
    found = re.search("|".join(chapters("lectures")) or "none", nodeid)
    return found[0] if found else file


def pytest_collection_modifyitems(items):
    order = {name: k for k, name in enumerate(SLOW_FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """`group` decides, and not xdist's own marks, which pytest 9.2 loses without a word."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group(nodeid)

    config.option.loadscopereorder = False  # slow ones first, and not the largest groups
    return ByGroup(config, log)


def used() -> float:
    """CPU seconds of this process and of its children that have ended."""
    own, children = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(sum(resource.getrusage(who)[:2]) for who in (own, children))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    before = used()
    result = yield
    item.config.cpu_seconds[item.nodeid] = used() - before
    if nextitem is None or group(nextitem.nodeid) != group(item.nodeid):
        forget()
    return result


def pytest_runtest_setup(item):
    """A chapter is loaded before its test begins: within a traced function it could not be."""
    for chapter in vars(item.module).values():
        if isinstance(chapter, lazily):
            chapter.scorecard  # noqa: B018


def pytest_configure(config):
    config.cpu_seconds, config.largest, config.started = {}, 0.0, time.monotonic()


def pytest_sessionfinish(session):
    """A worker hands its times to the process that began it, which records them."""
    config = session.config
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if hasattr(config, "workeroutput"):
        config.workeroutput |= {"cpu_seconds": config.cpu_seconds, "largest": largest}
        return
    chosen = config.option.keyword or config.option.markexpr or config.option.collectonly
    if config.args_source == pytest.Config.ArgsSource.TESTPATHS and not chosen:
        times.forget_tests()
        times.record(phases={"tests": time.monotonic() - config.started})
    times.record(tests=config.cpu_seconds, test_mib=max(config.largest, largest))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    output = getattr(node, "workeroutput", {})
    ran = output.get("cpu_seconds", {})
    if twice := {group(test) for test in ran} & {group(test) for test in node.config.cpu_seconds}:
        raise RuntimeError(f"in two processes: {', '.join(twice)}")
    node.config.cpu_seconds |= ran
    node.config.largest = max(node.config.largest, output.get("largest", 0.0))
