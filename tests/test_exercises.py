"""The exercise contract, for every chapter. (nbval itself runs over solutions/ beside these
tests.)"""

import ast
import copy
import re

import pytest
import warm
from conftest import answers

from course.grading import grade, pristine
from course.notebooks import ONLY, chapters, chosen, exercise_of, path_of, read, tags, write
from course.running import cached, open_cache
from course.sync import stub, sync

NAMES = chosen("solutions", ONLY)
SEED = "20261124"  # the COURSE_SEED of the kept answers
each_chapter = pytest.mark.parametrize("name", NAMES)
EACH_ANSWER = [
    pytest.param(name, number, kind, label, id=f"{name}-{number}-{kind}-{label}")
    for name in NAMES
    for number, kinds in answers(name).items()
    for kind, kept in kinds.items()
    for label in kept
]


def test_derived_files_are_as_sync_writes_them():
    assert sync(check=True, only=ONLY) == []


def test_every_chapter_has_all_its_rooms():
    assert chapters("lectures") == chapters("solutions") == chapters("exercises")


@each_chapter
def test_exercises_are_complete(name):
    """3 to 6 exercises, each with statement, folded hint, stub with docstring, points and stored
    outputs."""
    cells = read(path_of("exercises", name)).cells
    numbers = list(dict.fromkeys(exercise_of(c) for c in cells if exercise_of(c)))
    assert numbers == [f"{int(name[:2])}.{k + 1}" for k in range(len(numbers))]
    assert 3 <= len(numbers) <= 6 or name.startswith("99")
    for number in numbers:
        text = next(
            c.source
            for c in cells
            if re.search(rf"^## Exercise {number}: ", c.source, re.MULTILINE)
        )
        assert "<details><summary>Hint</summary>\n\n" in text and re.search(
            r"\(\d+ points?\)", text
        ), number
        mine = [c for c in cells if exercise_of(c) == number]
        stubs, checks = (
            [c for c in mine if "solution" in tags(c)],
            [c for c in mine if "check" in tags(c)],
        )
        assert len(stubs) == 1 and checks, number
        assert all(c.outputs and c.execution_count is not None for c in checks), (
            f"{number}: nothing for nbval to compare"
        )
        assert sum(c.metadata["course"]["points"] for c in checks) == int(
            re.search(r"\((\d+) points?\)", text)[1]
        )
        assert (
            "SOLUTION" not in stubs[0].source
            and f'NotImplementedError("Exercise {number}")' in stubs[0].source
        )
        for node in ast.parse(stubs[0].source).body:
            assert (
                not isinstance(node, ast.FunctionDef)
                or node.name.startswith("_")
                or ast.get_docstring(node)
            ), number


@each_chapter
def test_no_solution_leaks_into_the_exercises(name):
    text = path_of("exercises", name).read_text()
    assert "BEGIN SOLUTION" not in text and "-discussion" not in text


@each_chapter
def test_setup_runs_before_anything_else(name):
    first = next(c for c in read(path_of("exercises", name)).cells if c.cell_type == "code")
    assert "setup" in tags(first)


@each_chapter
def test_enough_answers_are_kept(name):
    kept = answers(name)
    numbers = {exercise_of(c) for c in read(path_of("solutions", name)).cells if exercise_of(c)}
    assert set(kept) == numbers
    for number, kinds in kept.items():
        assert len(kinds["right"]) >= 2 and len(kinds["wrong"]) >= 5, number


@pytest.mark.parametrize("name, number, kind, label", EACH_ANSWER)
def test_answer(name, number, kind, label, monkeypatch):
    """Right answers pass and wrong ones are refused, under a seed that nobody has seen."""
    monkeypatch.setenv("COURSE_SEED", SEED)
    passed, why = warm.accepted(name, number, answers(name)[number][kind][label])
    assert passed == (kind == "right"), why or "a wrong answer was accepted"
    if kind == "wrong":
        assert why.strip() not in ("AssertionError:", ""), "refused without a reason"


@each_chapter
def test_solutions_agree_with_stored_outputs(name):
    """What the solutions printed when they were run for the book is what nbval will compare."""
    path = path_of("solutions", name)
    if (found := cached(path, open_cache())) is None:
        pytest.fail(f"solutions/{name}.ipynb has not been run as it stands: `make book` runs it")
    ran = {c["id"]: c for c in found[1].cells}
    for cell in read(path).cells:
        if cell.cell_type == "code" and "check" in tags(cell):
            assert text(cell) == text(ran[cell["id"]]), cell["id"]


def text(cell) -> str:
    """What a cell printed."""
    return "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout")


@each_chapter
def test_stubs_fail_cleanly(name):
    """The first check of each stub says that the exercise is to do."""
    for cell in pristine(name).cells:
        if "solution" in tags(cell):
            number = exercise_of(cell)
            with pytest.raises(NotImplementedError, match=rf"^Exercise {number}\b"):
                warm.run(name, number, cell.source)


@each_chapter
def test_a_sample_through_the_whole_grader(name, tmp_path):
    """A wrong answer, and a right one that is the last of the second kernel; the others are as
    they were given out."""
    notebook = copy.deepcopy(pristine(name))
    solutions = [cell for cell in notebook.cells if "solution" in tags(cell)]
    special = {len(solutions) - 1: "passed", 0: "failed"}
    wanted = [special.get(k, "not attempted") for k in range(len(solutions))]
    for cell, verdict in zip(solutions, wanted, strict=True):
        kept = answers(name)[exercise_of(cell)]
        if verdict != "not attempted":
            cell.source = next(iter(kept["right" if verdict == "passed" else "wrong"].values()))
    write(notebook, tmp_path / f"{name}.ipynb")
    verdicts = grade(tmp_path / f"{name}.ipynb")
    assert [v.verdict for v in verdicts] == wanted, verdicts
    assert all(v.name and v.points == v.possible * (v.verdict == "passed") for v in verdicts)
    assert len(verdicts[0].reason) > 10


@each_chapter
def test_printed_numbers_differ_from_seed_to_seed(name, monkeypatch):
    monkeypatch.setenv("COURSE_SEED", SEED)
    for number in answers(name):
        checks = [c for c in warm.code(name) if "check" in tags(c) and exercise_of(c) == number]
        assert warm.expected(name, number) != "".join(map(text, checks)), (
            f"exercise {number} prints the same whatever its inputs: a stored output would pass"
        )


def test_solution_cells_are_not_empty_stubs():
    for name in NAMES:
        for cell in read(path_of("solutions", name)).cells:
            if cell.cell_type == "code" and "solution" in tags(cell):
                assert stub(cell.source) != cell.source
