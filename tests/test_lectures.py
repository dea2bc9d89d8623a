"""The lecture contract, for every chapter."""

import ast
import contextlib
import dis
import io
import re

import pytest

import course
from course.budget import LIMIT, MIB
from course.notebooks import KINDS, ONLY, ROOT, address, chosen, path_of, read, tags, title
from course.pages import scorecard_rows
from course.running import cached, open_cache

LECTURES = chosen("lectures", ONLY)
each_lecture = pytest.mark.parametrize("name", LECTURES)


def cells_of(name):
    return read(path_of("lectures", name)).cells


def code_of(name):
    return [cell for cell in cells_of(name) if cell.cell_type == "code"]


def executed(name):
    found = cached(path_of("lectures", name), open_cache())
    if found is None:
        pytest.fail(
            f"lectures/{name}.ipynb has not been run as it stands: `python -m course execute` "
            "runs it"
        )
    return found[1]


@each_lecture
def test_every_code_cell_has_one_kind(name):
    wrong = [c["id"] for c in code_of(name) if len(set(tags(c)) & set(KINDS)) != 1]
    assert not wrong, f"cells without exactly one tag of {KINDS}: {wrong}"


def global_names(code, *operations):
    """The names of a cell that one of `operations` acts on, in its functions too."""
    inner = [c for c in code.co_consts if hasattr(c, "co_consts")]
    here = {i.argval for i in dis.get_instructions(code) if i.opname in operations}
    return here.union(*(global_names(c, *operations) for c in inner))


@each_lecture
def test_only_pictures_need_the_cells_that_draw(name):
    """What is computed and checked does not lean on figure, explore and draw cells."""
    drawn = set()
    for cell in code_of(name):
        code = compile(cell.source, cell["id"], "exec")
        made = global_names(code, "STORE_NAME", "STORE_GLOBAL")
        if {"figure", "explore", "draw"} & set(tags(cell)):
            drawn |= made
        else:
            drawn -= made
            needs = drawn & global_names(code, "LOAD_NAME", "LOAD_GLOBAL")
            assert not needs, f"{cell['id']} needs {needs}, which a cell made that only draws"


@pytest.mark.parametrize("room", ["lectures", "solutions", "exercises"])
@each_lecture
def test_cells_fit_the_page(name, room):
    """Lines of 79 columns, cells of 30 lines; the setup cell may be longer."""
    for cell in read(path_of(room, name)).cells:
        if cell.cell_type == "code":
            lines = cell.source.splitlines()
            wide = [line for line in lines if len(line) > 79]
            assert not wide, f"{cell['id']}: over 79 columns: {wide}"
            long = len(lines) > 30 and not {"setup", "given"} & set(tags(cell))
            assert not long, f"{cell['id']}: {len(lines)} lines, 30 may be"


@pytest.mark.parametrize("room", ["lectures", "solutions"])
@each_lecture
def test_one_statement_a_line(name, room):
    for cell in read(path_of(room, name)).cells:
        if cell.cell_type == "code" and "setup" not in tags(cell):
            starts = [n.lineno for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.stmt)]
            assert len(starts) == len(set(starts)), cell["id"]


@pytest.mark.parametrize("room", ["lectures", "solutions"])
@each_lecture
def test_tolerances_are_written_out(name, room):
    """`allclose` has a hidden tolerance of 1e-8, which no scale of a problem knows."""
    hidden = []
    for cell in read(path_of(room, name)).cells:
        for node in ast.walk(ast.parse(cell.source if cell.cell_type == "code" else "")):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("allclose"):
                given = {keyword.arg for keyword in node.keywords}
                hidden += [cell["id"]] if not {"rtol", "atol"} <= given else []
    assert not hidden, f"allclose without rtol and atol: {hidden}"


@each_lecture
def test_setup_cell_is_the_course_s(name):
    setup = [c for c in code_of(name) if "setup" in tags(c)]
    wanted = (ROOT / "book" / "setup_cell.py").read_text().rstrip("\n")
    assert [c.source for c in setup] == [wanted]
    assert setup[0].metadata["cellView"] == "form" and setup[0].metadata["jupyter"]


def test_setup_cell_is_short():
    """80 lines of code at 79 columns, besides blank lines and docstrings."""
    source = (ROOT / "book" / "setup_cell.py").read_text()
    code = re.sub(r'    """.*?"""\n', "", source, flags=re.DOTALL)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 85 and max(map(len, source.splitlines())) <= 79


@each_lecture
def test_nothing_is_stored(name):
    assert not [c["id"] for c in code_of(name) if c.outputs or c.execution_count is not None]


@each_lecture
def test_way_through(name):
    cells = cells_of(name)
    assert title(read(path_of("lectures", name))).startswith(f"{int(name[:2])}. ")
    assert cells[1].source == f"[**Open in Colab**]({address()['colab']}/lectures/{name}.ipynb)"
    headings = [
        h
        for c in cells
        if c.cell_type == "markdown"
        for h in re.findall(r"^## (.+)$", c.source, re.MULTILINE)
    ]
    for part in ("In practice", "Scorecard", "Summary", "Exercises", "Further reading"):
        assert part in headings, f"the section '## {part}' is missing"
    about = next(c.source for c in cells if "What you will be able to do" in c.source)
    assert all(part in about for part in ("What you need", "How long it takes", "The talk"))
    assert f"](../exercises/{name}.ipynb)" in "".join(
        c.source for c in cells if c.cell_type == "markdown"
    )


@each_lecture
def test_figures_have_captions_and_alt_text(name):
    for cell in code_of(name):
        if "figure" in tags(cell):
            shown = cell.metadata.get("mystnb", {})
            assert shown.get("image", {}).get("alt") and shown.get("figure", {}).get("caption"), (
                cell["id"]
            )


@each_lecture
def test_last_code_cell_is_the_scorecard(name):
    last = code_of(name)[-1]
    assert "check" in tags(last) and "scorecard(" in last.source


@each_lecture
def test_has_a_slider(name):
    assert any("explore" in tags(c) and "slider(" in c.source for c in code_of(name))


@each_lecture
def test_imports_only_public_packages(name):
    own = {"course", "tests", "benchmarks", "lectures", "solutions", "book"}
    for cell in code_of(name):
        for node in ast.walk(ast.parse(cell.source)):
            modules = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not own & {m.split(".")[0] for m in modules}, cell["id"]


@each_lecture
def test_docstrings(name):
    """Every public function that a define cell offers says what it takes and returns."""
    for cell in code_of(name):
        if "define" in tags(cell):
            for node in ast.parse(cell.source).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith(
                    "_"
                ):
                    assert ast.get_docstring(node), f"{cell['id']}: {node.name} has no docstring"


@each_lecture
def test_load_is_silent(name):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        namespace = course.load(name)
    assert out.getvalue() == "" and callable(namespace.scorecard)


@each_lecture
def test_executed_without_noise(name):
    """No warning and no traceback stands in what the reader sees."""
    noisy = [
        c["id"]
        for c in executed(name).cells
        for out in c.get("outputs", [])
        if out.output_type == "error" or (out.output_type == "stream" and out.name == "stderr")
    ]
    assert not noisy


@each_lecture
def test_scorecard_was_shown(name):
    rows = scorecard_rows(executed(name))
    assert rows and all(all(cell.strip() for cell in row) for row in rows)


@pytest.mark.parametrize("room", ["lectures", "solutions"])
@each_lecture
def test_costs_what_it_may(name, room):
    """In seconds of all cores, which a busy machine changes less than those of the clock."""
    took = cached(path_of(room, name), open_cache())[0]
    assert took.cpu <= LIMIT[room] and took.mib <= MIB, took


def scorecard(rows):
    from types import SimpleNamespace

    shown = []
    names = {"display": lambda data, raw: shown.append(data), "html": __import__("html")}
    source = (ROOT / "book" / "setup_cell.py").read_text()
    exec(compile(source[source.index("def scorecard") :], "scorecard", "exec"), names)
    names["scorecard"](rows)
    return SimpleNamespace(**shown[0])


@pytest.mark.parametrize(
    "row",
    [
        ("energy", float("nan"), 1.0, "exact", 1.0),
        ("energy", 1.1, 1.0, "exact", 0.01),
        ("energy", 2.0, 1.0, "exact", "<"),
        ("energy", 1.0, 1.0, "exact", ">"),
    ],
)
def test_scorecard_names_the_row_that_misses(row):
    with pytest.raises(AssertionError, match="energy"):
        scorecard([("fine", 1.0, 1.0, "exact", 0.1), row])


def test_scorecard_passes_what_is_within_tolerance():
    scorecard(
        [("a", 1.0, 1.05, "exact", 0.1), ("b", 1, 2, "bound", "<"), ("c", 3, 2, "bound", ">")]
    )
