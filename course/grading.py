"""Grade one exercise notebook: the student's solution cells in the pristine notebook, compared by nbval."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import nbformat

from course.notebooks import EXERCISE_MARK, ROOT, CourseError, chapters, exercise_of, path_of, read, tags, write
from course.sync import exercises_from

CELL_LIMIT = 60.0    # seconds for one cell of a student
LONGEST = 300        # characters of a reason
FRESH, FRESH_SEED = "-again", "1"     # the checks run once more with its inputs, so that an answer cannot be written for one input alone
VERDICTS = {"passed": "passed", "stub": "not attempted", "timeout": "time limit", "missing": "cell missing"}


@dataclass
class Verdict:
    """What an exercise got: `verdict` is passed, failed, not attempted, time limit or cell missing."""
    exercise: str
    name: str
    points: int
    possible: int
    verdict: str
    reason: str


def read_submission(path: Path) -> nbformat.NotebookNode:
    """A student's notebook, read leniently (old formats, Windows line ends, a byte-order mark); CourseError if it is none."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise CourseError(f"There is no file {path}.") from None
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}.") from None
    if not raw.strip():
        raise CourseError(f"{path} is empty.")
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notebook = nbformat.reads(raw.decode(encoding), as_version=4)
        for cell in notebook.cells:
            cell.source = str(cell.source).replace("\r\n", "\n").replace("\r", "\n")
        return notebook
    except Exception:    # whatever a damaged file provokes in the reader, the student gets one sentence
        raise CourseError(f"{path} is not a Jupyter notebook, or it is damaged: "
                          "save it once more as .ipynb and try again.") from None


def chapter_of(path: Path, notebook) -> str:
    """The chapter of a student's notebook, by its file name or else by its markers `# Exercise 2.1`."""
    known = chapters("solutions")
    marks = [m for c in notebook.cells if c.cell_type == "code" for m in EXERCISE_MARK.findall(c.source)]
    found = [n for n in known if path.stem.startswith(n)] or [n for n in known for m in marks[:1]
                                                              if int(n[:2]) == int(m.split(".")[0])]
    if not found or not (marks or any(str(c.get("id", "")).startswith("ex-") for c in notebook.cells)):
        raise CourseError(f"{path} is not an exercise notebook of this course: it has no cell `# Exercise NN.k`. "
                          f"The chapters with exercises are: {', '.join(known)}.")
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
        by_id = [c for c in code if c.get("id") == cell["id"] and not set(EXERCISE_MARK.findall(c.source)) - {number}]
        both = [c for c in by_id if c in by_mark]
        begun = [c for c in [*both, *by_mark[::-1], *by_id] if c.source.strip() != cell.source.strip()]
        if found := begun or by_mark or by_id:       # a second attempt below the untouched stub counts
            cell.source = found[0].source
        else:
            missing.add(number)
    return notebook, missing


def only(notebook, exercises):
    """The notebook with the given cells and those of `exercises` alone."""
    part = copy.deepcopy(notebook)
    part.cells = [c for c in part.cells if c.cell_type == "code" and exercise_of(c) in {None, *exercises}]
    for number in exercises:
        checks = [c for c in part.cells if exercise_of(c) == number and "check" in tags(c)]
        at = part.cells.index(checks[-1]) + 1
        part.cells[at:at] = [again(c) for c in checks]
    return part


def again(check):
    """A check cell that runs with FRESH_SEED; its assertions judge, what it prints is not compared."""
    cell = copy.deepcopy(check)
    cell["id"], cell.outputs, cell.execution_count = f"{check['id']}{FRESH}", [], None
    cell.source = f'import os; os.environ["COURSE_SEED"] = "{FRESH_SEED}"\n{check.source}\nos.environ["COURSE_SEED"] = "0"'
    return cell


def run_nbval(notebooks: dict[str, nbformat.NotebookNode], limit: float) -> dict[str, dict[str, tuple[str, str]]]:
    """Run nbval over named notebooks in a process and a folder of their own: name → cell id → (kind, reason)."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        report = Path(folder) / "report.jsonl"
        for name, notebook in notebooks.items():
            write(notebook, Path(folder) / name / f"{name}.ipynb")
        command = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", f"--nbval-cell-timeout={limit}",
                   "-p", "no:cacheprovider", "-p", "course.nbval_report", f"--course-report={report}",
                   f"--rootdir={folder}", *(f"{name}/{name}.ipynb" for name in notebooks)]
        keep = {k: v for k, v in os.environ.items() if k not in ("COURSE_SEED", "PYTEST_ADDOPTS")}
        env = {**keep, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, start_new_session=os.name == "posix")
        try:
            cells = sum(len(notebook.cells) for notebook in notebooks.values())
            log, _ = process.communicate(timeout=60 + cells * (limit + 10))
        except subprocess.TimeoutExpired:
            log = "the grader's own limit was reached"
        finally:
            end(process)
        lines = report.read_text(encoding="utf-8").splitlines() if report.is_file() else []
    if not lines:
        raise CourseError("nbval could not be run; it said:\n" + "\n".join(log.strip().splitlines()[-8:]))
    results: dict = {name: {} for name in notebooks}
    for line in map(json.loads, lines):
        results[line["notebook"]][line["cell"]] = line["kind"], line["reason"]
    return results


def end(process: subprocess.Popen) -> None:
    """End a process and, where the system has process groups, all that it started."""
    if os.name == "posix":
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    else:
        process.kill()
    process.wait()


def first_fault(notebook, number: str, cells: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    """(kind, reason) of the first cell of an exercise that did not pass; None if all passed."""
    mine = [c for c in notebook.cells if c.cell_type == "code" and exercise_of(c) == number]
    fresh = [f"{c['id']}{FRESH}" for c in mine if "check" in tags(c)]
    for ident in [*(c["id"] for c in mine), *fresh]:
        kind, why = cells.get(ident, ("unreached", "not reached"))
        if kind != "passed":
            return kind, f"with other random inputs: {why}" if ident in fresh and kind == "error" else why
    return None


def judge(notebook, limit: float = CELL_LIMIT) -> dict[str, tuple[str, str] | None]:
    """Exercise → None if it passed, else (kind, reason). An exercise that hangs, kills the kernel or spoils the
    notebook's names costs only itself: what failed in company is judged again in a kernel of its own."""
    numbers = list(dict.fromkeys(exercise_of(c) for c in notebook.cells if exercise_of(c)))
    cells = run_nbval({"all": only(notebook, numbers)}, limit)["all"]
    given = [c for c in notebook.cells if c.cell_type == "code" and exercise_of(c) is None]
    if fault := next((cells[c["id"]] for c in given if cells.get(c["id"], ("passed",))[0] != "passed"), None):
        if not any(cells.get(c["id"], ("",))[0] in ("timeout", "died") for c in notebook.cells if exercise_of(c)):
            raise CourseError(f"The notebook's own cells do not run here: {fault[1]}")
    faults = {number: first_fault(notebook, number, cells) for number in numbers}
    ended = next((k for k, n in enumerate(numbers) if faults[n] and faults[n][0] in ("timeout", "died")), len(numbers))
    died = ended < len(numbers) and faults[numbers[ended]][0] == "died"
    doubtful = [n for k, n in enumerate(numbers)
                if faults[n] and faults[n][0] != "stub" and k and k != ended or died and k in (ended - 1, ended)]
    if doubtful:         # (an exercise may have ended the kernel after its own cells had passed, as exit() does)
        alone = run_nbval({f"alone-{k}": only(notebook, [n]) for k, n in enumerate(doubtful)}, limit)
        faults |= {n: first_fault(notebook, n, alone[f"alone-{k}"]) for k, n in enumerate(doubtful)}
    return faults


def grade(path: Path, limit: float = CELL_LIMIT) -> list[Verdict]:
    """Grade a student's notebook; one Verdict for each exercise. CourseError if the file cannot be graded at all."""
    submission = read_submission(path)
    name = chapter_of(path, submission)
    notebook, missing = fill(pristine(name), submission)
    untouched = {c["id"]: c.source for c in pristine(name).cells}
    verdicts = []
    for number, fault in judge(notebook, limit).items():
        cells = [c for c in notebook.cells if exercise_of(c) == number]
        possible = sum(c.metadata["course"].get("points", 0) for c in cells)
        kind, why = fault or ("passed", "")
        if number in missing:
            kind, why = "missing", f"no cell with the line `# Exercise {number}` was found"
        if kind == "stub" and any("solution" in tags(c) and c.source.strip() != untouched[c["id"]].strip() for c in cells):
            kind, why = "error", f'a part is still to do: `raise NotImplementedError("Exercise {number}")` stands there'
        if why.startswith("NameError"):
            why += " (only the cell of the exercise is graded: put imports and helpers into it)"
        verdicts.append(Verdict(number, heading(notebook, number), possible if kind == "passed" else 0, possible,
                                VERDICTS.get(kind, "failed"), why if len(why) <= LONGEST else why[:LONGEST] + " …"))
    return verdicts


def heading(notebook, number: str) -> str:
    """The name of an exercise, from its heading `## Exercise 2.1: name (2 points)`."""
    for cell in notebook.cells:
        if found := re.search(rf"^## Exercise {re.escape(number)}: (.+?)(?: \(\d+ points?\))?$", cell.source, re.MULTILINE):
            return found[1]
    return ""
