"""How long everything took when it was last run, and what the whole course would cost."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

from rich.table import Table

from course import budget
from course.notebooks import BUILD, ROOT, chapters
from course.running import measurements, write_whole

SLOWEST = 20
INSTALLATION = 90  # seconds


def path(root: Path = ROOT) -> Path:
    return root / BUILD / "times.json"


def recorded(root: Path = ROOT) -> dict:
    """What was recorded: `phases` (name → seconds by the clock), `tests` (test → CPU seconds) and
    `test_mib`, the largest memory of a process that tests."""
    try:
        found = json.loads(path(root).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        found = {}
    return {"phases": {}, "tests": {}, "test_mib": 0.0} | found


def forget_tests(root: Path = ROOT) -> None:
    """All tests have just been run: older ones may be gone."""
    write_whole(path(root), json.dumps(recorded(root) | {"tests": {}}))


def record(root: Path = ROOT, **parts) -> None:
    """Add to what is recorded; dictionaries are merged."""
    now = recorded(root)
    for key, value in parts.items():
        now[key] = now[key] | value if isinstance(value, dict) else value
    write_whole(path(root), json.dumps(now, indent=1))


@contextmanager
def phase(name: str, root: Path | None = ROOT):
    """Record how long a phase takes by the clock (with root None, do not)."""
    start = time.monotonic()
    yield
    if root:
        record(root, phases={name: time.monotonic() - start})


def by_chapter(tests: dict[str, float]) -> dict[str, float]:
    """CPU seconds of each chapter's tests; those of no chapter stand under ""."""
    sums: dict[str, float] = defaultdict(float)
    pattern = re.compile("|".join(chapters("lectures")) or "none")
    for test, seconds in tests.items():
        found = pattern.search(test)
        own = found and not re.match(r"tests/test_(tools|grader|gradebook)", test)
        sums[found[0] if own else ""] += seconds
    return sums


def overruns(only=(), root: Path = ROOT) -> list[str]:
    """A sentence for each notebook or chapter that costs more than it may."""
    told = []
    for room, name, took in measurements(root, only):
        if took.cpu > budget.LIMIT[room]:
            told.append(f"{room}/{name}: {took.cpu:.0f} s of CPU, {budget.LIMIT[room]} may be")
        if took.mib > budget.MIB:
            told.append(f"{room}/{name}: {took.mib:.0f} MiB, {budget.MIB} may be")
    now = recorded(root)
    for name, seconds in by_chapter(now["tests"]).items():
        if name and (not only or name in only) and seconds > budget.TESTS:
            told.append(f"tests of {name}: {seconds:.0f} s of CPU, {budget.TESTS} may be")
    if now["test_mib"] > budget.TEST_MIB:
        told.append(f"a test process: {now['test_mib']:.0f} MiB, {budget.TEST_MIB} may be")
    return told


def projection(root: Path = ROOT) -> float | None:
    """Minutes for all planned chapters, each as costly as those there are; None if not all was run.

    Each phase is scaled by its CPU seconds: what is fixed, and what comes with a chapter.
    """
    now, names = recorded(root), chapters("lectures", root)
    notebooks = measurements(root)
    if not {"pages", "tests"} <= set(now["phases"]) or len(notebooks) < 2 * len(names):
        return None
    more = budget.PLANNED / len(names)
    tests = by_chapter(now["tests"])
    fixed, whole = tests[""], sum(tests.values())
    growth = (fixed + more * (whole - fixed)) / whole
    running = sum(took.seconds for *_, took in notebooks) / 2  # they ran two at a time
    seconds = INSTALLATION + (running + now["phases"]["pages"]) * more
    seconds += now["phases"]["tests"] * growth
    return seconds / 60


def tables(only=(), root: Path = ROOT) -> list:
    """What `make times` prints."""
    now = recorded(root)
    tests = by_chapter(now["tests"])
    notebooks = Table("notebook", "seconds", "CPU seconds", "MiB", "its tests, CPU seconds")
    for room, name, took in measurements(root, only):
        own = f"{tests[name]:.0f}" if room == "lectures" and name in tests else ""
        row = f"{took.seconds:.0f}", f"{took.cpu:.0f}", f"{took.mib:.0f}", own
        notebooks.add_row(f"{room}/{name}", *row)
    slowest = Table(f"the {SLOWEST} slowest tests", "CPU seconds")
    for test, seconds in sorted(now["tests"].items(), key=lambda item: -item[1])[:SLOWEST]:
        slowest.add_row(test.replace("[", r"\["), f"{seconds:.1f}")
    lines = [f"{name}: {seconds:.0f} s" for name, seconds in now["phases"].items()]
    lines.append(f"largest test process: {now['test_mib']:.0f} MiB")
    if (expected := projection(root)) is not None:
        lines.append(
            f"{budget.PLANNED} such chapters: about {expected:.0f} min ({budget.MINUTES} may be)"
        )
    return [notebooks, slowest, *lines, *(f"over the budget: {told}" for told in overruns(only))]
