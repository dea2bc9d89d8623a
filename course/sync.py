"""What is derived, made anew: exercises from solutions, the setup cell, the links to Colab, the
README's links.

`make` changes the files; `check` only says which would change.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path

from nbformat.v4 import new_code_cell, new_markdown_cell

from course import running
from course.notebooks import (
    EXERCISE_MARK,
    ROOT,
    CourseError,
    address,
    chapters,
    chosen,
    code_hash,
    exercise_of,
    path_of,
    read,
    tags,
    write,
)

SOLUTION = re.compile(
    r"^([ \t]*)### BEGIN SOLUTION[ \t]*\n.*?^[ \t]*### END SOLUTION[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
ADDRESSED = ("README.md", "CITATION.cff")


def stub(source: str) -> str:
    """A solution cell as the student gets it: what stands between the markers becomes
    NotImplementedError."""
    mark = EXERCISE_MARK.search(source)
    if not mark or not SOLUTION.search(source):
        raise CourseError(
            "A solution cell needs a line `# Exercise NN.k` and the markers ### BEGIN SOLUTION, "
            f"### END SOLUTION; this one begins with: {source[:60]!r}."
        )
    return SOLUTION.sub(rf'\1raise NotImplementedError("Exercise {mark[1]}")', source)


def anchor(heading: str) -> str:
    """The anchor that the book gives to a heading (GitHub's rule)."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def exercises_from(solution, name: str, colab: str):
    """The exercise notebook of a solution notebook: stubs, the checks with their outputs, no
    discussion."""
    notebook = copy.deepcopy(solution)
    notebook.metadata.pop("course", None)
    notebook.cells = [
        c for c in notebook.cells if not (c.cell_type == "markdown" and "solution" in tags(c))
    ]
    for cell in notebook.cells[:1]:
        cell.source = cell.source.replace(". Solutions: ", ". Exercises: ", 1)
    for cell in notebook.cells:
        if cell.cell_type == "code" and "solution" in tags(cell):
            cell.source = stub(cell.source)
        elif cell.cell_type == "markdown" and (
            found := re.search(r"^## (Exercise .+)$", cell.source, re.MULTILINE)
        ):
            cell.source += (
                f"\n\n[Open in Colab]({colab}/exercises/{name}.ipynb) · "
                f"[Solution](../solutions/{name}.ipynb#{anchor(found[1])})"
            )
    return notebook


FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}  # in Colab, in JupyterLab


def fold(cell) -> None:
    """Fold a code cell whose first line is a `# @title` in Colab and in JupyterLab."""
    cell.metadata.update(copy.deepcopy(FOLDED))


def with_given(notebook, room: str, name: str, setup: str, colab: str):
    """The notebook with the course's setup cell and the link to Colab in their places."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and "setup" in tags(cell):
            cell.source = setup
            fold(cell)
        elif cell.cell_type == "markdown" and cell.get("id") == "badge":
            cell.source = f"[**Open in Colab**]({colab}/{room}/{name}.ipynb)"
        if room == "lectures" and cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def with_lecture(solution, lecture, name: str):
    """The solution with its `given` cells filled from the lecture's cells that they name."""
    sources = {c["id"]: c.source for c in lecture.cells if c.cell_type == "code"}
    for cell in solution.cells:
        if cell.cell_type != "code" or "given" not in tags(cell):
            continue
        named = cell.metadata.get("course", {}).get("given", [])
        if not named or (unknown := [ident for ident in named if ident not in sources]):
            raise CourseError(
                f"solutions/{name}.ipynb: the given cell {cell['id']} names "
                + (
                    f"{', '.join(unknown)}, which lectures/{name} does not have."
                    if named
                    else "no cells of the lecture in its metadata course.given."
                )
            )
        cell.source = "\n\n\n".join(
            [f"# @title Given: what chapter {int(name[:2])} built", *map(sources.get, named)]
        )
        fold(cell)
    return solution


def with_labels(solution):
    """The solution whose check cells begin with `# Check 2.1`, or (a), (b) where there are
    several."""
    checks = [c for c in solution.cells if c.cell_type == "code" and "check" in tags(c)]
    for cell in checks:
        body = re.sub(r"\A# Check .*\n", "", cell.source)
        cell.source = f"# Check {label(cell, checks)}\n{body}"
    return solution


def label(check, checks) -> str:
    """The exercise of a check cell, with its part where the exercise has several check cells."""
    same = [c for c in checks if exercise_of(c) == exercise_of(check)]
    part = f" ({'abcdefgh'[same.index(check)]})" if len(same) > 1 else ""
    return exercise_of(check) + part


def with_points(exercise):
    """The exercise notebook with its last cell, which adds up what the checks have given."""
    checks = [c for c in exercise.cells if c.cell_type == "code" and "check" in tags(c)]
    possible = {label(c, checks): c.metadata["course"].get("points", 0) for c in checks}
    lines = "".join(f'    "{check}": {most},\n' for check, most in possible.items())
    text = new_markdown_cell(
        "## Points\n\nWhat the checks that you have run say so far. It is "
        "information, not a grade: `make grade` runs each check anew, and "
        "once more with other inputs.",
        id="points-text",
    )
    cell = new_code_cell(f"points({{\n{lines}}})", id="points", metadata={"tags": ["points"]})
    exercise.cells += [text, cell]
    return exercise


def with_outputs(solution, path: Path, root: Path = ROOT):
    """The solution with the outputs of its check cells stored, and with no others."""
    fresh = code_hash(solution)
    checks = [c for c in solution.cells if c.cell_type == "code" and "check" in tags(c)]
    if solution.metadata.get("course", {}).get("outputs_of") != fresh or not all(
        c.outputs for c in checks
    ):
        executed = {c["id"]: c for c in running.ran(solution, path, root).cells}
        for count, cell in enumerate(checks, start=1):
            cell.outputs, cell.execution_count = executed[cell["id"]].outputs, count
        solution.metadata["course"] = {"outputs_of": fresh}
    for cell in solution.cells:
        if cell.cell_type == "code" and "check" not in tags(cell):
            cell.outputs, cell.execution_count = [], None
        for output in cell.get("outputs", []):
            output.pop("execution_count", None)
            output.get("metadata", {}).clear()
    return solution


def addressed(text: str, where: dict[str, str]) -> str:
    """README.md or CITATION.cff with the repository's address in the places that are marked for
    it."""
    block = (
        f"[![tests]({where['repository']}/actions/workflows/test.yml/badge.svg)]"
        f"({where['repository']}/actions/workflows/test.yml)\n"
        "[![read the "
        f"book](https://img.shields.io/badge/read-the%20book-0072B2)]({where['pages']})\n"
        f"[![open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
        f"({where['colab']}/lectures/{{first}}.ipynb)\n\n"
        f"    git clone {where['repository']}.git\n"
    ).replace("{first}", chapters()[0])
    text = re.sub(
        r"(?s)(<!-- addresses: written by `make sync` -->\n).*?(<!-- end -->)",
        lambda m: m[1] + block + m[2],
        text,
    )
    text = re.sub(r"(?m)^repository-code: .*$", f"repository-code: {where['repository']}", text)
    return re.sub(r"(?m)^url: .*$", f"url: {where['pages']}", text)


def derive(root: Path = ROOT, execute: bool = True, only=()) -> dict[Path, object]:
    """All derived files (with `only`, those of these chapters): path → what should stand there."""
    where = address(root)
    setup = (root / "book" / "setup_cell.py").read_text(encoding="utf-8").rstrip("\n")
    derived: dict[Path, object] = {}
    for name in chosen("lectures", only, root):
        path = path_of("lectures", name, root)
        derived[path] = with_given(read(path), "lectures", name, setup, where["colab"])
    for name in chosen("solutions", only, root):
        path = path_of("solutions", name, root)
        solution = with_given(read(path), "solutions", name, setup, where["colab"])
        solution = with_lecture(solution, read(path_of("lectures", name, root)), name)
        for cell in solution.cells:
            graded = cell.cell_type == "code" and {"solution", "check"} & set(tags(cell))
            if graded and not exercise_of(cell):
                raise CourseError(
                    f"solutions/{name}.ipynb: cell {cell.get('id')} "
                    "has no metadata course.exercise."
                )
        solution = with_labels(solution)
        solution = with_outputs(solution, path, root) if execute else solution
        derived[path] = solution
        exercise = with_points(exercises_from(solution, name, where["colab"]))
        derived[root / "exercises" / path.name] = with_given(
            exercise, "exercises", name, setup, where["colab"]
        )
    for name in ADDRESSED:
        if (root / name).is_file():
            derived[root / name] = addressed((root / name).read_text(encoding="utf-8"), where)
    return derived


def sync(root: Path = ROOT, check: bool = False, only=()) -> list[Path]:
    """Write the derived files that differ from what stands there (or, with `check`, only name
    them)."""
    changed = []
    for path, new in derive(root, execute=not check, only=only).items():
        if isinstance(new, str):
            same = path.is_file() and path.read_text(encoding="utf-8") == new
        else:
            same = path.is_file() and read(path) == new
            stale = path.parent.name == "solutions" and new.metadata.get("course", {}).get(
                "outputs_of"
            ) != code_hash(new)
            same = same and not stale
        if not same:
            changed.append(path)
            if not check:
                write(new, path) if not isinstance(new, str) else path.write_text(
                    new, encoding="utf-8"
                )
    orphans = set(chapters("exercises", root)) - set(chapters("solutions", root))
    if orphans:
        raise CourseError(
            f"exercises/{orphans.pop()}.ipynb has no source in solutions/; remove it."
        )
    return changed
