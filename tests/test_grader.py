"""The grader for one student: what it makes of notebooks as students really hand them in."""

import copy
import json
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from conftest import answers

from course.grading import chapter_of, fill, grade, judge_in_company, parse, pristine
from course.notebooks import ROOT, CourseError, exercise_of, path_of, tags, write

NAME = "01_software2"
NUMBERS = list(answers(NAME))
FIRST, SECOND = NUMBERS[:2]


def right(number):
    return next(iter(answers(NAME)[number]["right"].values()))


@pytest.fixture
def solved():
    """The pristine notebook of the first chapter with a right answer to every exercise."""
    notebook = copy.deepcopy(pristine(NAME))
    for cell in solution_cells(notebook):
        cell.source = right(exercise_of(cell))
    return notebook


def solution_cells(notebook):
    return [c for c in notebook.cells if "solution" in tags(c)]


def graded(notebook, tmp_path, limit=60.0, name=f"{NAME}.ipynb"):
    write(notebook, tmp_path / name)
    return {v.exercise: v for v in grade(tmp_path / name, limit)}


def test_solved_chapter_in_15_seconds(solved, tmp_path):
    write(solved, tmp_path / f"{NAME}.ipynb")
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "course", "grade", str(tmp_path / f"{NAME}.ipynb")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - start
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout + done.stderr
    print(f"a solved chapter was graded in {seconds:.1f} s")
    assert (
        seconds < 40
    )  # 15 s on a quiet machine (benchmarks/grader.py measures it); this only notices a hang


def test_a_hanging_exercise_costs_only_itself(solved, tmp_path):
    solution_cells(solved)[0].source = f"# Exercise {FIRST}\nwhile True:\n    pass\n"
    verdicts = graded(solved, tmp_path, limit=15)
    assert verdicts.pop(FIRST).verdict == "time limit"
    assert {v.verdict for v in verdicts.values()} == {"passed"}


def test_a_dying_kernel_costs_only_its_exercise(solved, tmp_path):
    solution_cells(solved)[1].source = f"# Exercise {SECOND}\nimport os\nos._exit(3)\n"
    verdicts = graded(solved, tmp_path)
    lost = verdicts.pop(SECOND)
    assert lost.verdict == "failed" and "kernel" in lost.reason
    assert {v.verdict for v in verdicts.values()} == {"passed"}


def test_a_spoiled_name_costs_only_its_exercise(solved, tmp_path):
    solution_cells(solved)[0].source += "\nnp = jnp = jax = None\n"
    verdicts = graded(solved, tmp_path)
    assert {number for number, v in verdicts.items() if v.verdict != "passed"} <= {FIRST}


def test_a_given_cell_that_a_solution_spoils_costs_only_that_exercise():
    """The cells between the exercises run after a solution: what they suffer from it does not end
    the grading."""
    notebook = pristine(NAME)
    later = nbformat.v4.new_code_cell("np.zeros(3)", id="later")
    notebook.cells.insert(
        next(k for k, c in enumerate(notebook.cells) if "check" in tags(c)) + 1, later
    )

    def run(parts, limit):
        spoiled = {"later": ("error", "NameError: np")}
        return {
            name: {
                c["id"]: ("passed", "")
                for c in part.cells
                if name != "all" or exercise_of(c) != SECOND
            }
            | (spoiled if name == "all" else {})
            for name, part in parts.items()
        }

    assert judge_in_company(notebook, [FIRST, SECOND], 1, run) == {FIRST: None, SECOND: None}


def test_each_fault_is_told_to_its_exercise(solved, tmp_path):
    """A long message, a syntax error, a lost cell; and the others pass."""
    first, second, third = solution_cells(solved)[:3]
    first.source = (
        f"# Exercise {FIRST}\nclass NotConverged(Exception):\n    pass\n\n"
        "raise NotConverged('z' * 100_000)\n"
    )
    second.source = f"# Exercise {SECOND}\ndef broken(:\n    pass\n"
    solved.cells.remove(third)
    long, broken, lost, *others = graded(solved, tmp_path).values()
    assert long.reason.startswith("NotConverged: zzz") and len(long.reason) < 400
    assert broken.verdict == "failed" and broken.reason.startswith("SyntaxError")
    assert lost.verdict == "cell missing" and {v.verdict for v in others} == {"passed"}


def test_what_a_solution_prints_and_draws(solved, tmp_path):
    """Text, pictures and NumPy's warnings cost nothing; an unfinished line spoils the next one."""
    first, second = solution_cells(solved)[:2]
    first.source = (
        talking(first.source, "print('looking')\n    plt.plot([1, 2])\n    plt.show()")
        + "\n_own_rng = rng\n\ndef rng(k):\n    np.float64(1) / np.float64(0)\n"
        "    return _own_rng(k)\n"
    )
    second.source = talking(second.source, "print('looking', end=' ')")
    verdicts = graded(solved, tmp_path)
    assert verdicts.pop(FIRST).verdict == "passed"
    unfinished = verdicts.pop(SECOND)
    assert unfinished.verdict == "failed" and "new line" in unfinished.reason
    assert {v.verdict for v in verdicts.values()} == {"passed"}


def talking(source, line):
    """The solution, whose first function begins with a line more."""
    name = source.split("def ")[1].split("(")[0]
    return (
        f"{source}\n_{name} = {name}\ndef {name}(*a, **k):\n    {line}\n"
        f"    return _{name}(*a, **k)\n"
    )


def test_what_is_unfinished_and_what_is_for_one_input(solved, tmp_path):
    """A part to do, a library's own NotImplementedError, and a table of the inputs of one run."""
    first, second, third = solution_cells(solved)[:3]
    first.source += (
        "\n_right, _kept = design, {}\n\ndef design(loss, A, b):\n"
        "    return _kept.setdefault(A.shape[1] > 3, _right(loss, A, b))\n"
    )
    second.source += "\n\ndef rng(k):\n    raise NotImplementedError('no rule for eig')\n"
    whole = next(c for c in pristine(NAME).cells if c["id"] == third["id"])
    third.source = whole.source + "\n\ndef begun(x):\n    return x\n"
    copied, library, begun = list(graded(solved, tmp_path).values())[:3]
    assert copied.verdict == library.verdict == begun.verdict == "failed"
    assert copied.reason.startswith("with other random inputs: ")
    assert library.reason == "NotImplementedError: no rule for eig"
    assert "still to do" in begun.reason


def test_a_notebook_as_colab_saves_it(solved, tmp_path):
    """The marker comment finds the cells; and grading leaves the file as it was."""
    lost_ids(solved)
    write(solved, tmp_path / "Copy of exercises.ipynb")
    before = (tmp_path / "Copy of exercises.ipynb").read_bytes()
    verdicts = grade(tmp_path / "Copy of exercises.ipynb")
    assert {v.verdict for v in verdicts} == {"passed"}
    assert (tmp_path / "Copy of exercises.ipynb").read_bytes() == before


# What is taken from a notebook: what runs afterwards is the same, so it need not run -----------


def taken(raw: bytes):
    """The notebook that is run for a submission, and the exercises whose cells were not found."""
    submission = parse(raw, f"{NAME}.ipynb")
    assert chapter_of(Path("renamed.ipynb"), submission) == NAME
    return fill(pristine(NAME), submission)


def raw(notebook) -> bytes:
    return nbformat.writes(notebook).encode()


def lost_ids(notebook):
    for k, cell in enumerate(notebook.cells):
        cell["id"], cell.metadata = f"{k:08x}", {"outputId": "x", "colab": {}}


def edited_checks(notebook):
    for cell in notebook.cells:
        if "check" in tags(cell):
            cell.source, cell.outputs = "print('all right')", []
            cell.metadata["tags"] = ["nbval-skip"]


def deleted_checks(notebook):
    notebook.cells = [c for c in notebook.cells if "check" not in tags(c)]


def skipping_metadata(notebook):
    for cell in solution_cells(notebook):
        cell.metadata["tags"] = ["solution", "raises-exception", "nbval-raises-exception"]


def second_attempt(notebook):
    """The stub stays, and the answer stands in a cell of its own below it."""
    cell = copy.deepcopy(solution_cells(notebook)[0])
    place = notebook.cells.index(solution_cells(notebook)[0])
    stub = next(c for c in pristine(NAME).cells if c["id"] == cell["id"])
    notebook.cells[place].source = stub.source
    cell["id"] = "0badcafe"
    notebook.cells.insert(place + 1, cell)


@pytest.mark.parametrize(
    "change", [lost_ids, edited_checks, deleted_checks, skipping_metadata, second_attempt]
)
def test_what_students_do_to_a_notebook_changes_nothing(change, solved):
    wanted = taken(raw(solved))
    change(solved)
    assert taken(raw(solved)) == wanted and wanted[1] == set()


def test_old_formats_and_windows(solved):
    wanted = taken(raw(solved))
    old = nbformat.writes(nbformat.convert(copy.deepcopy(solved), 3), version=3)
    assert taken(old.encode()) == wanted
    text = json.dumps(json.loads(nbformat.writes(solved)), ensure_ascii=False)
    text = text.replace("\\n", "\\r\\n").replace("\n", "\r\n")
    assert taken(b"\xef\xbb\xbf" + text.encode()) == wanted


def test_a_lost_marker_is_found_by_id(solved):
    cell = solution_cells(solved)[0]
    cell.source = cell.source.split("\n", 1)[1]
    notebook, missing = taken(raw(solved))
    assert solution_cells(notebook)[0].source == cell.source and missing == set()


def test_a_marker_written_otherwise_is_found(solved):
    second_attempt(solved)
    again = next(c for c in solved.cells if c["id"] == "0badcafe")
    again.source = again.source.replace("# Exercise", "  # exercise")
    notebook, missing = taken(raw(solved))
    assert solution_cells(notebook)[0].source == again.source and missing == set()


def test_marks_for_nbval_are_taken_out(solved):
    wanted, _ = taken(raw(solved))
    for cell in solution_cells(solved):
        cell.source = "# NBVAL_SKIP\n" + cell.source
    notebook, _ = taken(raw(solved))
    for old, new in zip(solution_cells(wanted), solution_cells(notebook), strict=True):
        assert new.source == "#\n" + old.source


# Files that are none ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"{",
        b'{"cells": 3}',
        b"[1, 2]",
        b"null",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xfe",
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}',
    ],
)
def test_a_damaged_file_gets_a_sentence(content, tmp_path):
    path = tmp_path / f"{NAME}.ipynb"
    path.write_bytes(content)
    with pytest.raises(CourseError, match=rf"{NAME}\.ipynb is (not|empty)"):
        grade(path)


def test_a_foreign_notebook_gets_a_sentence(tmp_path):
    lecture = tmp_path / "my_analysis.ipynb"
    lecture.write_bytes(path_of("lectures", NAME).read_bytes())
    with pytest.raises(CourseError, match="not an exercise notebook"):
        grade(lecture)


def test_the_command_line_tells_and_goes_on(tmp_path):
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / f"{NAME}.ipynb").write_bytes(path_of("exercises", NAME).read_bytes())
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "course",
            "grade",
            str(tmp_path / "none.ipynb"),
            str(tmp_path / "broken.ipynb"),
            str(tmp_path / f"{NAME}.ipynb"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (
        done.returncode == 2
        and "not attempted" in done.stdout
        and "Traceback" not in done.stdout + done.stderr
    )
    assert "There is no file" in done.stdout and "damaged" in done.stdout


def test_exit_costs_only_its_own_exercise(solved, tmp_path):
    """exit() lets its own cell pass and ends the kernel afterwards."""
    solution_cells(solved)[1].source += "\nexit()\n"
    verdicts = graded(solved, tmp_path)
    assert verdicts.pop(SECOND).verdict == "failed"
    assert {v.verdict for v in verdicts.values()} == {"passed"}
