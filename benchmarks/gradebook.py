"""A class of 100 submissions of one chapter through `python -m course gradebook`, on one core, and
where the time goes."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from classroom import filled, gradebook

from course import gradebook as grader
from course import template
from course.grading import exercises, grade, only, run_nbval
from course.notebooks import path_of, read, write
from course.sandbox import Limits

SIZE = int(sys.argv[2]) if len(sys.argv) > 2 else 100
NAME = sys.argv[1] if len(sys.argv) > 1 else "01_software2"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])

STARTUP = (
    "import time; t = time.perf_counter(); import jax, jax.numpy, matplotlib.pyplot, ipywidgets, "
    "ipykernel.kernelapp; jax.devices(); print(time.perf_counter() - t)"
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(filled(NAME, "right"), Path(folder, f"{NAME}.ipynb"))
        startup = min(
            float(
                subprocess.run(
                    [sys.executable, "-c", STARTUP], capture_output=True, text=True
                ).stdout
            )
            for _ in range(3)
        )
        start = time.perf_counter()
        grade(Path(folder, f"{NAME}.ipynb"))
        cold = time.perf_counter() - start

        notebook = read(Path(folder, f"{NAME}.ipynb"))
        template.shared()
        forked = []
        for full in (False, True):
            if full:
                grader.solve(NAME, json.dumps(read(path_of("solutions", NAME))), "0")
            start = time.perf_counter()
            run_nbval(
                {"all": only(notebook, exercises(notebook), fresh=False)}, 60, (NAME, "0", Limits())
            )
            forked.append(time.perf_counter() - start)

        for k in range(SIZE):  # two right notebooks to each wrong one
            write(
                filled(NAME, "wrong" if k % 3 == 2 else "right", k),
                Path(folder, "class", f"student {k}", f"{NAME}.ipynb"),
            )
        start = time.perf_counter()
        done = gradebook(Path(folder, "class"), Path(folder, "grades.csv"), "--jobs", "1")
        whole = time.perf_counter() - start
        print(done.stdout, done.stderr)
    rows = [
        [
            "a process for each submission, nothing kept",
            f"{cold:.1f}",
            f"{60 / cold:.0f}",
            f"{100 * startup / cold:.0f} %",
        ],
        [
            "+ kernels and nbval forked from a warm process",
            f"{forked[0]:.1f}",
            f"{60 / forked[0]:.0f}",
            "0 %",
        ],
        [
            "+ compiled library functions kept, read-only",
            f"{forked[1]:.1f}",
            f"{60 / forked[1]:.0f}",
            "0 %",
        ],
        [
            f"the whole class of {SIZE}, a third of it wrong",
            f"{whole / SIZE:.1f}",
            f"{60 * SIZE / whole:.0f}",
            f"{100 * 3 * startup / whole:.0f} %",
        ],
    ]
    table.write(
        "gradebook",
        f"Grading a class, chapter {NAME}, on one core",
        ["way", "seconds for a submission", "in a minute and core", "importing jax and the rest"],
        rows,
        ["jax", "nbval", "ipykernel", "distributed"],
        "The first three rows are one notebook with right answers (the first with every check "
        "run twice, as for a student). The last is the "
        "command from start to end: the cluster, jax imported three times (the warm process, two "
        "runs of the solutions), the sandbox of "
        "each submission, and a second run with other inputs for what failed.",
    )


if __name__ == "__main__":
    main()
