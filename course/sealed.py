"""Checks that a solution cell finds hard to look into or to bend, for the grading of a class.

A sealed check runs inside a function, so that its names (`want`, `exact`) are not global ones that
a solution could return. It takes modules, built-in functions and what the notebook's own cells
define afresh, whatever a solution calls by their names, and begins by making sure that the library
functions it uses are still the library's.
"""

from __future__ import annotations

import ast
import builtins
import copy
import re
import symtable

from nbformat.v4 import new_code_cell

from course.notebooks import exercise_of, tags

LOOKS_INSIDE = re.compile(
    r"\b(_getframe\w*|currentframe|f_back|f_locals|f_globals|tb_frame|gi_frame|get_objects|get_referrers|"
    r"settrace|setprofile|getouterframes|tracemalloc|input_transformers\w*|ast_transformers|_check_\w+)\b"
)
GUARD = """import importlib
def {name}(names):
    for module, chain in names:
        value = importlib.import_module(module)
        for part in chain:
            value = getattr(value, part, None)
        yield module, chain, value
{name}_kept = tuple({name}({names!r}))"""
GIVEN = """{name}_given = globals().get("{name}_given", {{}}) | {{
    word: globals()[word] for word in {words!r} if word in globals()}}"""
FIRST = """importlib.import_module('builtins').globals().update({{
    word: {name}_given[word] for word in {own!r} if word in {name}_given}})
for (_module, _chain, _kept), (*_, _now) in zip({name}_kept, {name}({names!r})):
    assert _kept is _now, (
        f"your cell changes {{_module}}.{{'.'.join(_chain)}}, which the check uses: "
        "leave it as it is")"""


def global_names(source: str) -> set[str]:
    """The names that a cell binds or reads as global ones."""

    def of(table):
        own = {
            s.get_name()
            for s in table.get_symbols()
            if table.get_type() == "module" or s.is_global()
        }
        return own.union(*map(of, table.get_children()))

    return of(symtable.symtable(source, "cell", "exec"))


def bound_names(source: str) -> set[str]:
    """The global names that a cell binds."""
    symbols = symtable.symtable(source, "cell", "exec").get_symbols()
    return {s.get_name() for s in symbols if s.is_assigned() or s.is_imported() or s.is_namespace()}


def aliases(tree: ast.AST) -> dict[str, str]:
    """name → module, of the `import` statements of a cell."""
    return {
        (a.asname or a.name).split(".")[0]: a.name if a.asname else a.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for a in node.names
    }


def chains(tree: ast.AST, modules: dict[str, str]) -> set[tuple[str, tuple[str, ...]]]:
    """(module, attributes) of every dotted name like np.linalg.norm, and of every built-in name,
    in a cell."""
    found = set()
    for node in ast.walk(tree):
        parts = []
        while isinstance(node, ast.Attribute):
            parts, node = [node.attr, *parts], node.value
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if parts and node.id in modules:
                found |= {(modules[node.id], tuple(parts[:k])) for k in range(1, len(parts) + 1)}
            elif hasattr(builtins, node.id):
                found.add(("builtins", (node.id,)))
    return found


def sealed(notebook, secret: str):
    """The notebook with its checks sealed; `secret` makes the names that guard them unknown
    beforehand."""
    notebook = copy.deepcopy(notebook)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    checks = [c for c in code if "check" in tags(c) and exercise_of(c)]
    rest = [c for c in code if c not in checks]
    modules = {
        name: module
        for c in [*rest, *checks]
        for name, module in aliases(ast.parse(c.source)).items()
    }
    used = sorted(set().union(*(chains(ast.parse(c.source), modules) for c in checks)))
    bound = set().union(*(bound_names(c.source) for c in rest)) - set(modules)
    guard = f"_check_{secret}"
    given = {
        id(c): sorted(bound_names(c.source) - set(modules)) for c in rest if exercise_of(c) is None
    }
    given_names = set().union(*given.values())
    for cell in checks:
        mine, body = bound_names(cell.source), ast.parse(cell.source).body
        near = [
            c
            for c in code
            if exercise_of(c) is None
            or (c in checks and exercise_of(c) == exercise_of(cell) and c is not cell)
        ]
        kept = sorted((mine & set().union(*(global_names(c.source) for c in near))) - set(modules))
        words = (
            {n.id for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Name)}
            - mine
            - bound
            - {"super"}
        )
        own = sorted(given_names & global_names(cell.source) - mine)
        first = [
            f"{word} = importlib.import_module({modules[word]!r})"
            if word in modules
            else f"{word} = importlib.import_module('builtins').{word}"
            for word in sorted(words)
            if word in modules or hasattr(builtins, word)
        ]
        lines = [
            f"def {guard}_run():",
            *([f"    global {', '.join(kept)}"] if kept else []),
            *(f"    {line}" for line in first),
            *(f"    {line}" for line in FIRST.format(name=guard, names=used, own=own).splitlines()),
            f"{guard}_run()",
        ]
        tree = ast.parse("\n".join(lines))
        tree.body[0].body += body
        cell.source = ast.unparse(tree)
    at = next(k for k, c in enumerate(notebook.cells) if c.cell_type == "code") + 1
    notebook.cells.insert(at, new_code_cell(GUARD.format(name=guard, names=used), id="guard"))
    for k, cell in reversed(list(enumerate(notebook.cells))):
        if words := given.get(id(cell)):
            notebook.cells.insert(
                k + 1, new_code_cell(GIVEN.format(name=guard, words=words), id=f"given-{k}")
            )
    return notebook


def looks_inside(source: str) -> str:
    """Why a solution cell is refused unseen: it uses what only looks into the checks ("" if it
    does not)."""
    found = LOOKS_INSIDE.search(source)
    return (
        f"uses `{found[1]}`, which looks into the checks: a solution computes from its arguments "
        "alone"
        if found
        else ""
    )
