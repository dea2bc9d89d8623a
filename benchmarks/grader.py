"""From `python -m course grade` to the verdict, for a solved notebook of each chapter."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import table

from course.notebooks import ROOT, chapters

rows = []
with tempfile.TemporaryDirectory() as folder:
    for name in chapters("solutions"):
        path = Path(folder) / f"{name}.ipynb"
        path.write_bytes((ROOT / "solutions" / path.name).read_bytes())
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "course", "grade", str(path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        rows.append(
            [
                name,
                f"{time.perf_counter() - start:.1f}",
                "all passed" if done.returncode == 0 else "NOT ALL PASSED",
            ]
        )

table.write(
    "grader",
    "Grading one solved chapter",
    ["chapter", "seconds from start to verdict", "verdict"],
    rows,
    ["nbval", "jax", "ipykernel"],
    "The aim is under 15 seconds.",
)
