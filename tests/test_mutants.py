"""The tool behind `make mutants`, on a small chapter; the records are of today's functions."""

import nbformat
import pytest

from course.mutants import NEVER, Notes, digest, functions, listed, record, recorded, run
from course.notebooks import chapters, write

LECTURES = chapters("lectures")

CELLS = {
    "imports": ("setup", "import jax, jax.numpy as jnp, numpy as np"),
    "functions": (
        "define",
        """
class Node:
    def __init__(self, value):
        self.value = float(value)

def half(x):
    return x / 2

def energy(x):
    return jnp.sum(half(x) ** 2)

def numbers(n):
    yield from range(n)

def unseen(x):
    return 3.0 * x

def idle(x):
    return 2.0 * x

def count(x):
    return len(x)

def shifted(shift):
    return lambda x: x + shift

square = lambda node: Node(node.value ** 2)
""",
    ),
    "rule": (
        "define",
        """
@jax.custom_jvp
def cube(x):
    return x ** 3

@cube.defjvp
def cube_rule(primals, tangents):
    (x,), (t,) = primals, tangents
    return cube(x), 3 * x ** 2 * t
""",
    ),
    "run": ("run", "x = jnp.arange(3.0)\nslope = jax.jit(jax.grad(energy))(x)\nlost = unseen(x)"),
    "other": ("run", "y = float(cube(2.0))\ndraw = np.random.default_rng(1)\nfound = {}"),
    "first": ("check", "assert abs(float(slope[2]) - 1) < 1e-9\nassert len(list(numbers(2))) == 2"),
    "second": (
        "check",
        "found['a'] = draw.normal()\nassert abs(y - 8) < 1e-9\n"
        "assert abs(float(jax.grad(cube)(2.0)) - 12) < 1e-9",
    ),
    "third": (
        "check",
        "assert count(x) == 3 and found['a'] == np.random.default_rng(1).normal()\n"
        "assert abs(square(Node(3)).value - 9) < 1e-9\nassert shifted(1.0)(0.0) == 1.0",
    ),
    "picture": ("figure", "idle(1.0)"),
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    root = tmp_path_factory.mktemp("course")
    notebook = nbformat.v4.new_notebook()
    for name, (kind, source) in CELLS.items():
        cell = nbformat.v4.new_code_cell(source.strip(), id=name, metadata={"tags": [kind]})
        notebook.cells.append(cell)
    write(notebook, root / "lectures" / "77_small.ipynb")
    lines = []
    return run("77_small", root, lines.append), root, lines


def test_survivors_are_found_and_only_they(outcome):
    assert outcome[0].survivors == [
        ("functions", "unseen", "factor"),
        ("functions", "idle", NEVER),
    ]


def test_functions_rules_methods_and_what_they_return_are_tried(outcome):
    tried = {key[1:] for key in outcome[0].results}
    expected = ["half", "energy", "unseen", "cube", "cube_rule", "square", "shifted.(returned)"]
    assert {name for name, fault in tried if fault == "factor"} == set(expected)
    assert {name for name, fault in tried if fault == "detached"} >= {"half", "energy"}
    skipped = {f.name: f.skipped for f in outcome[0].functions if f.skipped}
    assert skipped == {"Node.__init__": "returns nothing", "numbers": "is a generator"}
    assert {f.name for f in outcome[0].silent} == {"count", "shifted"}


def test_the_cell_that_notices_is_named(outcome):
    results = outcome[0].results
    assert results["functions", "half", "detached"].startswith("first")
    assert results["rule", "cube", "factor"].startswith("second")
    assert results["rule", "cube_rule", "factor"].startswith("second")
    assert results["functions", "square", "factor"].startswith("third")


def test_record_keeps_sentences(outcome):
    from course.mutants import write as write_record

    result, root, _ = outcome
    path = record("77_small", root)
    row = "| `functions` | `unseen` | factor | "
    before = path.read_text(encoding="utf-8")
    assert row + " |" in before and f"(digest {digest(listed(result.functions))})" in before
    path.write_text(before.replace(row + " |", row + "nothing reads it |"), encoding="utf-8")
    write_record("77_small", result, root)
    assert row + "nothing reads it |" in path.read_text(encoding="utf-8")
    assert recorded(path)[0] == listed(result.functions)


def test_a_stopped_run_is_taken_up_again_unless_the_cells_changed(tmp_path):
    path = tmp_path / "mutants" / "77_small.jsonl"
    notes = Notes(path, ["functions", "cells"])
    assert notes.read() == {}
    notes.add([3, "factor", ""])
    assert Notes(path, ["functions", "cells"]).read() == {(3, "factor"): ""}
    other = Notes(path, ["functions", "other cells"])
    assert other.read() == {} == Notes(path, ["functions", "other cells"]).read()


def test_survivors_are_tried_again_while_the_functions_are_the_same(tmp_path):
    notes = Notes(tmp_path / "77_small.jsonl", ["functions", "cells"])
    notes.finish({(3, "factor"): "", (4, "factor"): "check"})
    for cells in ("cells", "more checks"):
        again = Notes(notes.path, ["functions", cells])
        assert again.read(again=True) == {(4, "factor"): "check"}
    assert Notes(notes.path, ["other functions", "cells"]).read(again=True) == {}


@pytest.mark.parametrize("name", LECTURES)
def test_record_is_of_today_s_functions(name):
    command = f"`make mutants ONLY={name}` writes it"
    if not record(name).is_file():
        pytest.skip(f"There is no tests/mutants/{name}.md yet: {command}.")
    then, now = recorded(record(name))[0], listed(functions(name))
    gone, new = [x for x in then if x not in now], [x for x in now if x not in then]
    assert not gone and not new, (
        f"tests/mutants/{name}.md is of other functions: {command} anew. "
        f"Recorded but not there: {gone}; there but not recorded: {new}."
    )
