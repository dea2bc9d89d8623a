"""Time functions side by side in one run, and write the table with versions, machine and date."""

from __future__ import annotations

import datetime
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # peers are compared on one thread
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (it reads these variables)

sys.path.insert(0, str(Path(__file__).parent.parent))

RESULTS = Path(__file__).parent / "results"


def seconds(function, repeats: int = 7, at_least: float = 0.05) -> float:
    """The best time of one call, over `repeats` batches of at least `at_least` seconds, after a
    warm-up call."""
    function()
    calls, best = 1, float("inf")
    for _ in range(repeats):
        while True:
            start = time.perf_counter()
            for _ in range(calls):
                function()
            spent = time.perf_counter() - start
            if spent >= at_least:
                break
            calls = max(2 * calls, int(calls * at_least / max(spent, 1e-9)))
        best = min(best, spent / calls)
    return best


def in_turns(functions, budget: float, most: int = 60) -> np.ndarray:
    """Seconds of the fastest call of each function; they take turns, for about `budget` seconds, at
    least three rounds and at most `most`."""
    times: list[list[float]] = []
    while len(times) < 3 or (np.sum(times) < budget and len(times) < most):
        times.append([])
        for function in functions:
            start = time.perf_counter()
            function()
            times[-1].append(time.perf_counter() - start)
    return np.min(times, axis=0)


def machine() -> str:
    """Processor, number of cores and Python."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def write(
    subject: str,
    title: str,
    head: list[str],
    rows: list[list[str]],
    packages: list[str],
    note: str = "",
) -> None:
    """Write results/`subject`.md and print it."""
    lines = [
        f"# {title}",
        "",
        "| " + " | ".join(head) + " |",
        "|---" + "|---:" * (len(head) - 1) + "|",
    ]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    versions = ", ".join(f"{p} {version(p)}" for p in packages)
    lines += [
        "",
        note,
        "",
        f"{datetime.date.today()}; {machine()}; {versions}. Written by "
        f"`benchmarks/{Path(sys.argv[0]).name}`.",
        "",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{subject}.md").write_text("\n".join(lines).replace("\n\n\n", "\n\n"))
    print("\n".join(lines))
