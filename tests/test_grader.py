"""The grader for one student: what it makes of notebooks as students really hand them in."""

import copy
import json
import subprocess
import sys
import time

import nbformat
import pytest
from conftest import answers

from course.grading import grade, judge_in_company, pristine
from course.notebooks import ROOT, CourseError, chapters, exercise_of, path_of, read, tags, write

NAME = chapters("solutions")[0]
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


def test_a_syntax_error_is_told(solved, tmp_path):
    solution_cells(solved)[0].source = f"# Exercise {FIRST}\ndef broken(:\n    pass\n"
    verdicts = graded(solved, tmp_path)
    assert verdicts.pop(FIRST).reason.startswith("SyntaxError")
    assert {v.verdict for v in verdicts.values()} == {"passed"}


def test_a_printing_solution_passes(solved, tmp_path):
    cell = solution_cells(solved)[0]
    name = cell.source.split("def ")[1].split("(")[0]
    silent = cell.source
    cell.source = (
        f"{silent}\n_plain = {name}\ndef {name}(*a, **k):\n    print('looking')\n"
        "    plt.plot([1, 2])\n    plt.show()\n    return _plain(*a, **k)\n"
    )
    assert graded(solved, tmp_path)[FIRST].verdict == "passed"
    cell.source = cell.source.replace("'looking'", "'looking', end=' '").replace(
        "    plt.plot([1, 2])\n    plt.show()\n", ""
    )
    verdict = graded(solved, tmp_path)[FIRST]
    assert verdict.verdict == "failed" and "new line" in verdict.reason


def test_edited_checks_change_nothing(tmp_path):
    notebook = copy.deepcopy(pristine(NAME))
    for cell in notebook.cells:
        if "check" in tags(cell):
            cell.source, cell.outputs = "print('all right')", []
            cell.metadata["tags"] = ["nbval-skip"]
    assert {v.verdict for v in graded(notebook, tmp_path).values()} == {"not attempted"}


def test_skip_marks_in_a_solution_change_nothing(tmp_path):
    notebook = copy.deepcopy(pristine(NAME))
    for cell in solution_cells(notebook):
        cell.source = "# NBVAL_SKIP\n" + cell.source
        cell.metadata["tags"] = ["solution", "raises-exception", "nbval-raises-exception"]
    assert all(v.points == 0 for v in graded(notebook, tmp_path).values())


def test_deleted_check_cells_change_nothing(solved, tmp_path):
    solved.cells = [c for c in solved.cells if "check" not in tags(c)]
    assert {v.verdict for v in graded(solved, tmp_path).values()} == {"passed"}


def test_lost_cell_ids_and_metadata(solved, tmp_path):
    """As Colab saves an old notebook: the marker comment finds the cells."""
    for k, cell in enumerate(solved.cells):
        cell["id"], cell.metadata = f"{k:08x}", {"outputId": "x", "colab": {}}
    assert {
        v.verdict for v in graded(solved, tmp_path, name="Copy of exercises.ipynb").values()
    } == {"passed"}


def test_lost_marker_is_found_by_id(solved, tmp_path):
    solution_cells(solved)[0].source = solution_cells(solved)[0].source.split("\n", 1)[1]
    assert graded(solved, tmp_path)[FIRST].verdict == "passed"


def test_deleted_solution_cell_is_said(solved, tmp_path):
    solved.cells = [
        c for c in solved.cells if not ("solution" in tags(c) and exercise_of(c) == FIRST)
    ]
    verdicts = graded(solved, tmp_path)
    assert verdicts.pop(FIRST).verdict == "cell missing"
    assert {v.verdict for v in verdicts.values()} == {"passed"}


def test_windows_line_ends_and_byte_order_mark(solved, tmp_path):
    write(solved, tmp_path / "plain.ipynb")
    text = json.dumps(json.loads((tmp_path / "plain.ipynb").read_text()), ensure_ascii=False)
    path = tmp_path / f"{NAME}.ipynb"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\\n", "\\r\\n").replace("\n", "\r\n").encode())
    assert {v.verdict for v in grade(path)} == {"passed"}


def test_old_format(solved, tmp_path):
    old = nbformat.convert(solved, 3)
    path = tmp_path / f"{NAME}.ipynb"
    path.write_text(nbformat.writes(old, version=3))
    assert {v.verdict for v in grade(path)} == {"passed"}


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


def test_grading_leaves_the_submission_as_it_was(solved, tmp_path):
    write(solved, tmp_path / f"{NAME}.ipynb")
    before = (tmp_path / f"{NAME}.ipynb").read_bytes()
    grade(tmp_path / f"{NAME}.ipynb")
    assert (tmp_path / f"{NAME}.ipynb").read_bytes() == before and read(path_of("solutions", NAME))


def test_exit_costs_only_its_own_exercise(solved, tmp_path):
    """exit() lets its own cell pass and ends the kernel afterwards."""
    solution_cells(solved)[1].source += "\nexit()\n"
    verdicts = graded(solved, tmp_path)
    assert verdicts.pop(SECOND).verdict == "failed"
    assert {v.verdict for v in verdicts.values()} == {"passed"}


def test_a_warning_costs_nothing(solved, tmp_path):
    """What NumPy writes to stderr while a check runs is no answer."""
    solution_cells(solved)[0].source += (
        "\n_own_rng = rng\n\ndef rng(k):\n    np.float64(1) / np.float64(0)\n"
        "    return _own_rng(k)\n"
    )
    assert graded(solved, tmp_path)[FIRST].verdict == "passed"


def test_a_half_finished_answer_is_told(tmp_path):
    notebook = copy.deepcopy(pristine(NAME))
    solution_cells(notebook)[0].source += "\n\ndef begun(x):\n    return x\n"
    verdict = graded(notebook, tmp_path)[FIRST]
    assert verdict.verdict == "failed" and "still to do" in verdict.reason


def test_a_not_implemented_function_of_a_library_is_told(solved, tmp_path):
    solution_cells(solved)[
        0
    ].source += "\n\ndef rng(k):\n    raise NotImplementedError('no rule for eig')\n"
    verdict = graded(solved, tmp_path)[FIRST]
    assert verdict.verdict == "failed" and verdict.reason == "NotImplementedError: no rule for eig"


def test_a_second_attempt_below_the_stub_counts(solved, tmp_path):
    cell = copy.deepcopy(solution_cells(solved)[0])
    place = solved.cells.index(solution_cells(solved)[0])
    solved.cells[place].source = next(
        c for c in pristine(NAME).cells if c["id"] == cell["id"]
    ).source
    cell["id"], cell.source = "0badcafe", cell.source.replace("# Exercise", "  # exercise")
    solved.cells.insert(place + 1, cell)
    assert graded(solved, tmp_path)[FIRST].verdict == "passed"


def test_an_answer_for_one_input_is_refused(solved, tmp_path):
    """A check's printed numbers at the given seed can be copied; its assertions with other inputs
    refuse the copy."""
    solution_cells(solved)[0].source += (
        "\n_right, _kept = wells, {}\n\ndef wells(rho, x):\n"
        "    return _kept.setdefault(len(x), _right(rho, x))\n"
    )
    verdict = graded(solved, tmp_path)[FIRST]
    assert verdict.verdict == "failed" and verdict.reason.startswith("with other random inputs: ")


def test_a_long_reason_is_cut(solved, tmp_path):
    solution_cells(solved)[0].source = (
        f"# Exercise {FIRST}\nclass NotConverged(Exception):\n    pass\n\n"
        "raise NotConverged('z' * 100_000)\n"
    )
    reason = graded(solved, tmp_path)[FIRST].reason
    assert reason.startswith("NotConverged: zzz") and len(reason) < 400
