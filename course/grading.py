"""Grade one exercise notebook: the student's solution cells in the pristine notebook, compared by
nbval."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat

from course import template
from course.notebooks import (
    BUILD,
    EXERCISE_MARK,
    ROOT,
    CourseError,
    chapters,
    exercise_of,
    path_of,
    read,
    tags,
    write,
)
from course.sandbox import Limits
from course.sync import exercises_from

CELL_LIMIT = 60.0  # seconds for one cell of a student
LONGEST = 300  # characters of a reason
# The checks run once more with other inputs, so that an answer cannot be written for one alone.
FRESH, FRESH_SEED = "-again", "1"
NBVAL_MARK = re.compile(
    r"^[ \t]*#+[ \t]*(NBVAL_\w+|PYTEST_VALIDATE_IGNORE_OUTPUT)[ \t]*$", re.MULTILINE
)
MOST_VALUES = 20_000_000  # in the JSON of a notebook: more would fill the memory
VERDICTS = {
    "passed": "passed",
    "stub": "not attempted",
    "timeout": "time limit",
    "cpu": "time limit",
    "missing": "cell missing",
    "memory": "memory limit",
    "processes": "process limit",
    "flood": "output limit",
}
NOTHING_RETURNED = re.compile(
    r"^(with other random inputs: )?(Type|Value|Attribute)Error: .*(NoneType|None is "
    r"not|unpack|iteration over a 0-d)"
)
ENDED = ("timeout", "died", "memory", "processes", "cpu", "flood")  # after these the kernel is gone


@dataclass
class Verdict:
    """What an exercise got: `verdict` is one of VERDICTS, or failed."""

    exercise: str
    name: str
    points: int
    possible: int
    verdict: str
    reason: str


def read_submission(path: Path) -> nbformat.NotebookNode:
    """A student's notebook; CourseError if it is none."""
    try:
        return parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise CourseError(f"There is no file {path}.") from None
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}.") from None


def parse(raw: bytes, name: str) -> nbformat.NotebookNode:
    """A student's notebook from the bytes of the file `name`, read leniently: old formats, foreign
    encodings, Windows line ends, a byte-order mark. Outputs are dropped unread."""
    if not raw.strip():
        raise CourseError(f"{name} is empty.")
    if sum(map(raw.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise CourseError(
            f"{name} is not gradable: its outputs are too large. Clear all outputs, save it and "
            "hand it in again."
        )
    for encoding in (
        json.detect_encoding(raw[:4]),
        "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1",
        "gb18030",
    ):
        try:
            notebook = json.loads(raw.decode(encoding))
            if notebook["nbformat"] >= 4:
                notebook = {
                    "nbformat": 4,
                    "nbformat_minor": 4,
                    "metadata": {},
                    "cells": [
                        {
                            "metadata": {},
                            **{k: c[k] for k in ("cell_type", "source", "id") if k in c},
                            **(
                                {"outputs": [], "execution_count": None}
                                if c["cell_type"] == "code"
                                else {}
                            ),
                        }
                        for c in notebook["cells"]
                    ],
                }
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                notebook = nbformat.reads(json.dumps(notebook), as_version=4)
            for cell in notebook.cells:
                source = str(cell.source).replace("\r\n", "\n").replace("\r", "\n")
                cell.source = source.encode("utf-8", "replace").decode("utf-8")
            return notebook
        except (
            Exception
        ):  # whatever a damaged file provokes in the reader, the student gets one sentence
            continue
    raise CourseError(
        f"{name} is not a Jupyter notebook, or it is damaged: save it once more as .ipynb and "
        "try again."
    )


def chapter_of(path: Path, notebook) -> str:
    """The chapter of a student's notebook, by its file name or else by its markers `# Exercise
    2.1`."""
    known = chapters("solutions")
    marks = [
        m for c in notebook.cells if c.cell_type == "code" for m in EXERCISE_MARK.findall(c.source)
    ]
    found = [n for n in known if path.stem.startswith(n)] or [
        n for n in known for m in marks[:1] if int(n[:2]) == int(m.split(".")[0])
    ]
    if not found or not (
        marks or any(str(c.get("id", "")).startswith("ex-") for c in notebook.cells)
    ):
        raise CourseError(
            f"{path} is not an exercise notebook of this course: it has no cell `# Exercise NN.k`. "
            f"The chapters with exercises are: {', '.join(known)}."
        )
    return found[0]


def pristine(name: str):
    """The exercise notebook of a chapter as it was given out, with the expected outputs."""
    return exercises_from(read(path_of("solutions", name)), name, colab="")


def fill(notebook, submission) -> tuple[nbformat.NotebookNode, set[str]]:
    """Put the student's solution cells into the pristine notebook, by marker or else by cell id.

    Returns the notebook and the exercises whose cell was not found.
    """
    notebook, missing = copy.deepcopy(notebook), set()
    code = [cell for cell in submission.cells if cell.cell_type == "code"]
    for cell in notebook.cells:
        if "solution" not in tags(cell):
            continue
        number = exercise_of(cell)
        by_mark = [c for c in code if number in EXERCISE_MARK.findall(c.source)]
        by_id = [
            c
            for c in code
            if c.get("id") == cell["id"] and not set(EXERCISE_MARK.findall(c.source)) - {number}
        ]
        both = [c for c in by_id if c in by_mark]
        names = re.findall(r"^def (\w+)", cell.source, re.MULTILINE)
        whole = [
            c
            for c in by_mark
            if "raise NotImplementedError" not in c.source
            and all(
                re.search(rf"^(def )?{name}\b *[(=:]", c.source, re.MULTILINE) for name in names
            )
        ]
        begun = [
            c
            for c in [*whole[::-1], *both, *by_mark[::-1], *by_id]
            if c.source.strip() != cell.source.strip()
        ]
        if (
            found := begun or by_mark or by_id
        ):  # of several attempts the last whole one, as when the notebook is run
            cell.source = NBVAL_MARK.sub("#", found[0].source)
        else:
            missing.add(number)
    return notebook, missing


def only(notebook, exercises, fresh: bool = True):
    """The notebook with the given cells and those of `exercises` alone; with `fresh`, each one's
    checks a second time."""
    part = copy.deepcopy(notebook)
    part.cells = [
        c for c in part.cells if c.cell_type == "code" and exercise_of(c) in {None, *exercises}
    ]
    for number in exercises if fresh else ():
        checks = [c for c in part.cells if exercise_of(c) == number and "check" in tags(c)]
        at = part.cells.index(checks[-1]) + 1
        part.cells[at:at] = [again(c) for c in checks]
    return part


def again(check):
    """A check cell that runs with FRESH_SEED; its assertions judge, what it prints is not
    compared."""
    cell = copy.deepcopy(check)
    cell["id"], cell.outputs, cell.execution_count = f"{check['id']}{FRESH}", [], None
    seed = 'os.environ["COURSE_SEED"]'
    first, last = f'import os; {seed} = "{FRESH_SEED}"', f'{seed} = "0"'
    cell.source = f"{first}\n{check.source}\n{last}"
    return cell


def run_nbval(
    notebooks: dict[str, nbformat.NotebookNode],
    limit: float,
    confined: tuple[str, str, Limits] | None = None,
) -> dict[str, dict[str, tuple[str, str]]]:
    """Run nbval over named notebooks in a process and a folder of their own: name → cell id →
    (kind, reason).

    `confined` is a chapter, a COURSE_SEED and Limits: then the kernels are confined ones, forked
    from the warm process.
    """
    inside = (
        template.shared().folder.name if confined else None
    )  # which it removes when this process is killed
    with tempfile.TemporaryDirectory(
        prefix="run-", dir=inside, ignore_cleanup_errors=True
    ) as folder:
        report = Path(folder) / "report.jsonl"
        for name, notebook in notebooks.items():
            write(notebook, Path(folder) / name / f"{name}.ipynb")
        arguments = [
            "-q",
            "--nbval",
            "--nbval-current-env",
            f"--nbval-cell-timeout={limit}",
            "--nbval-kernel-startup-timeout=180",
            "-p",
            "no:cacheprovider",
            "-p",
            "course.nbval_report",
            f"--course-report={report}",
            f"--rootdir={folder}",
            *(f"{name}/{name}.ipynb" for name in notebooks),
        ]
        seconds = 200 + sum(len(notebook.cells) for notebook in notebooks.values()) * (limit + 10)
        log = (
            nbval_here(arguments, folder, seconds)
            if confined is None
            else nbval_forked(arguments, folder, seconds, *confined)
        )
        lines = report.read_text(encoding="utf-8").splitlines() if report.is_file() else []
    if not lines:
        raise CourseError(
            "nbval could not be run; it said:\n" + "\n".join(log.strip().splitlines()[-8:])
        )
    results: dict = {name: {} for name in notebooks}
    for line in map(json.loads, lines):
        results[line["notebook"]][line["cell"]] = line["kind"], line["reason"]
    return results


def nbval_here(arguments: list[str], folder: str, seconds: float) -> str:
    """Run nbval as a process of this one, and return what it printed."""
    keep = {
        k: v
        for k, v in os.environ.items()
        if k not in ("COURSE_SEED", "PYTEST_ADDOPTS", "COURSE_TEMPLATE")
    }
    env = {
        **keep,
        "PYTHONPATH": str(ROOT),
        "MPLBACKEND": "agg",
        "OPENBLAS_NUM_THREADS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / BUILD / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.02",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=os.name == "posix",
    )
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        return "the grader's own limit was reached"
    finally:
        end(process)


def nbval_forked(
    arguments: list[str], folder: str, seconds: float, chapter: str, seed: str, limits: Limits
) -> str:
    """Run nbval as a fork of the warm process, outside of the sandbox in which its kernels run;
    return what it printed."""
    warm = template.shared()
    scrubbed = {**template.SCRUBBED, "HOME": folder}
    env = {
        **scrubbed,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "COURSE_TEMPLATE": warm.socket,
        "COURSE_KERNEL": json.dumps(
            {
                "env": {**scrubbed, "COURSE_SEED": seed},
                "limits": asdict(limits),
                "cache": warm.cache(chapter),
            }
        ),
    }
    connection = template.ask(
        warm.socket,
        {
            "run": "nbval",
            "folder": folder,
            "env": env,
            "arguments": ["-p", "nbval.plugin", *arguments],
        },
    )
    try:
        template.answer(connection, seconds)
    finally:
        connection.close()
    return (
        Path(folder, "nbval.log").read_text(errors="replace")
        if Path(folder, "nbval.log").exists()
        else ""
    )


def end(process: subprocess.Popen) -> None:
    """End a process and, where the system has process groups, all that it started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def exercises(notebook) -> list[str]:
    """The numbers of a notebook's exercises."""
    return list(dict.fromkeys(exercise_of(c) for c in notebook.cells if exercise_of(c)))


def first_fault(part, number: str, cells: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    """(kind, reason) of the first cell of an exercise that did not pass; None if all passed."""
    for ident in (c["id"] for c in part.cells if exercise_of(c) == number):
        kind, why = cells.get(ident, ("unreached", "not reached"))
        if kind != "passed":
            return kind, f"with other random inputs: {why}" if ident.endswith(
                FRESH
            ) and kind == "error" else why
    return None


def judge(notebook, limit: float = CELL_LIMIT) -> dict[str, tuple[str, str] | None]:
    """Exercise → None if it passed, else (kind, reason); the two halves of the exercises run side
    by side."""
    numbers = exercises(notebook)
    half = (len(numbers) + 1) // 2
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(
            lambda part: judge_in_company(notebook, part, limit),
            filter(None, (numbers[:half], numbers[half:])),
        )
        return {number: fault for part in parts for number, fault in part.items()}


def judge_in_company(
    notebook, numbers: list[str], limit: float, run=run_nbval, other=None
) -> dict[str, tuple[str, str] | None]:
    """Judge exercises in one kernel. One that hangs, kills the kernel or spoils the notebook's
    names costs only itself: what failed in company is judged again in a kernel of its own.

    `run` is run_nbval or another like it; `other` is (notebook, run) for judging again, with other
    random inputs. Without it every check runs a second time with FRESH_SEED.
    """
    part = only(notebook, numbers, fresh=not other)
    cells = run({"all": part}, limit)["all"]
    faults = {number: first_fault(part, number, cells) for number in numbers}
    for cell in itertools.takewhile(
        lambda c: exercise_of(c) is None, part.cells
    ):  # later ones can suffer from a solution
        if cells.get(cell["id"], ("passed",))[0] != "passed":
            raise CourseError(f"The notebook's own cells do not run here: {cells[cell['id']][1]}")
    kinds = [faults[n][0] if faults[n] else "passed" for n in numbers]
    ended = next((k for k, kind in enumerate(kinds) if kind in ENDED), None)
    doubtful = {
        k
        for k, kind in enumerate(kinds)
        if kind not in ("passed", "stub") and k != ended and (k or other)
    }
    if (
        ended and kinds[ended] != "timeout"
    ):  # the exercise before may have done it after its own cells had passed, as exit() does
        doubtful |= {ended - 1, ended}
    elif (
        ended and other and {*kinds[:ended]} - {"passed", "stub"}
    ):  # what failed before may have spoiled this one
        doubtful.add(ended)
    if doubtful:
        notebook, run = other or (notebook, run)
        alone = {
            numbers[k]: only(notebook, [numbers[k]], fresh=not other) for k in sorted(doubtful)
        }
        faults |= {n: first_fault(alone[n], n, cells) for n, cells in run(alone, limit).items()}
    return faults


def grade(path: Path, limit: float = CELL_LIMIT) -> list[Verdict]:
    """Grade a student's notebook; one Verdict for each exercise. CourseError if the file cannot be
    graded at all."""
    submission = read_submission(path)
    given = pristine(chapter_of(path, submission))
    notebook, missing = fill(given, submission)
    return verdicts(notebook, missing, untouched(given, notebook), judge(notebook, limit))


def untouched(given, notebook) -> set[str]:
    """The exercises of a filled notebook whose solution cells are as they were given out."""
    return {
        exercise_of(old)
        for old, new in zip(given.cells, notebook.cells, strict=True)
        if "solution" in tags(old) and old.source.strip() == new.source.strip()
    }


def verdicts(
    notebook, missing: set[str], stubs: set[str], faults: dict[str, tuple[str, str] | None]
) -> list[Verdict]:
    """What each exercise of a notebook gets, in words for the student."""
    result = []
    for number, fault in faults.items():
        possible = sum(
            c.metadata["course"].get("points", 0)
            for c in notebook.cells
            if exercise_of(c) == number
        )
        kind, why = fault or ("passed", "")
        if number in missing:
            kind, why = "missing", f"no cell with the line `# Exercise {number}` was found"
        if kind == "stub" and number not in stubs:
            kind, why = (
                "error",
                f'a part is still to do: `raise NotImplementedError("Exercise {number}")` stands '
                "there",
            )
        if why.startswith("NameError"):
            why += " (only the cell of the exercise is graded: put imports and helpers into it)"
        if NOTHING_RETURNED.search(why):
            why += " (does your function return what its docstring says?)"
        result.append(
            Verdict(
                number,
                heading(notebook, number),
                possible if kind == "passed" else 0,
                possible,
                VERDICTS.get(kind, "failed"),
                why if len(why) <= LONGEST else why[:LONGEST] + " …",
            )
        )
    return result


def heading(notebook, number: str) -> str:
    """The name of an exercise, from its heading `## Exercise 2.1: name (2 points)`."""
    for cell in notebook.cells:
        if found := re.search(
            rf"^## Exercise {re.escape(number)}: (.+?)(?: \(\d+ points?\))?$",
            cell.source,
            re.MULTILINE,
        ):
            return found[1]
    return ""
