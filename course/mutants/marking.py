"""Which functions the `define` cells of a chapter offer, and their code with switches in it.

`return X` becomes `return _mutate(number, X)`, so that a mutant is a switch and not an edit.
"""

from __future__ import annotations

import ast
import dis
import re
import types
from dataclasses import dataclass
from pathlib import Path

from course.notebooks import ROOT, path_of, read, tags

REGISTER = ("defjvp", "defvjp", "defjvps")  # methods that take rules


@dataclass
class Function:
    cell: str
    name: str
    skipped: str = ""


class Marker(ast.NodeTransformer):
    """Wraps what the functions of one define cell return; `found` collects them by their numbers.

    These are functions and methods, functions that they return, rules and custom derivatives at any
    depth, and lambdas outside of functions. Of a rule's (value, tangent) the tangent is wrapped.
    """

    def __init__(self, cell: str, tree: ast.Module, found: list[Function]):
        self.cell, self.found, self.path, self.label = cell, found, [], ""
        self.within: list[tuple] = []  # (node, number, is a rule) of the enclosing functions
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        rules = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in REGISTER]
        self.rules = {a.id for c in rules for a in c.args if isinstance(a, ast.Name)}
        self.rule_lambdas = [a for c in rules for a in c.args if isinstance(a, ast.Lambda)]

    def enter(self, name: str, skipped: str = "") -> int:
        name = ".".join([*self.path, name])
        same = sum(f.cell == self.cell and f.name.split(" #")[0] == name for f in self.found)
        self.found.append(Function(self.cell, f"{name} #{same + 1}" if same else name, skipped))
        return len(self.found) - 1

    def wrapped(self, value, number):
        name = ast.Name("_mutate", ast.Load())
        return ast.copy_location(ast.Call(name, [ast.Constant(number), value], []), value)

    def visit(self, node):
        if isinstance(node, ast.stmt) and not self.within:
            self.label = label(node)
        return super().visit(node)

    def visit_ClassDef(self, node):
        self.path.append(node.name)
        self.generic_visit(node)
        self.path.pop()
        return node

    def visit_FunctionDef(self, node):
        decorators = " ".join(map(ast.unparse, node.decorator_list))
        rule = node.name in self.rules or bool(re.search(r"\.def(jvp|vjp)", decorators))
        returned = self.within and node.name in [
            getattr(x, "id", "") for r in own(self.within[-1][0], ast.Return) for x in parts(r)
        ]
        if not self.within or rule or returned or "custom_" in decorators:
            skipped = "" if any(r.value for r in own(node, ast.Return)) else "returns nothing"
            if own(node, (ast.Yield, ast.YieldFrom)):
                skipped = "is a generator"
            number = self.enter(node.name, skipped)
        else:
            number, skipped = None, "is an inner step"
        self.within.append((node, None if skipped else number, rule))
        self.path.append(node.name)
        node.body = [self.visit(statement) for statement in node.body]
        self.path.pop()
        self.within.pop()
        return node

    def visit_Return(self, node):
        _, number, rule = self.within[-1]
        for part in parts(node):
            if isinstance(part, ast.Lambda) and number is not None:
                self.mark_lambda(part, "(returned)")
        self.generic_visit(node)
        if number is not None and node.value:
            if rule and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:
                node.value.elts[1] = self.wrapped(node.value.elts[1], number)
            else:
                node.value = self.wrapped(node.value, number)
        return node

    def visit_Lambda(self, node):
        if not self.within or node in self.rule_lambdas:
            self.mark_lambda(node, self.label if not self.within else "rule")
        return node

    def mark_lambda(self, node, name):
        node.body = self.wrapped(node.body, self.enter(name))


def own(function, kinds) -> list:
    """The nodes of some kinds in a function, without those of the functions inside of it."""
    found, left = [], list(function.body)
    while left:
        node = left.pop()
        found += [node] if isinstance(node, kinds) else []
        if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            left += ast.iter_child_nodes(node)
    return found


def parts(node: ast.Return) -> list:
    """What a return statement returns, one by one."""
    return node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]


def label(statement) -> str:
    """A name for the lambdas of a statement: their target, or the call that gets them."""
    if isinstance(statement, ast.Assign):
        return ast.unparse(statement.targets[0])
    if isinstance(statement, ast.Expr) and isinstance(call := statement.value, ast.Call):
        first = [ast.unparse(a) for a in call.args[:1] if isinstance(a, ast.Constant)]
        return f"{ast.unparse(call.func)}({', '.join(first)})"
    return "lambda"


def marked(cell, found: list[Function]) -> ast.Module:
    """The syntax tree of a cell, its functions wrapped if it is a define cell."""
    tree = ast.parse(cell.source)
    if "define" in tags(cell):
        tree = Marker(cell["id"], tree, found).visit(tree)
    return ast.fix_missing_locations(tree)


def functions(name: str, root: Path = ROOT) -> list[Function]:
    """The functions that the define cells of a chapter offer today."""
    found: list[Function] = []
    for cell in lecture(name, root).cells:
        if cell.cell_type == "code":
            marked(cell, found)
    return found


def lecture(name: str, root: Path = ROOT):
    """The notebook of a chapter."""
    return read(path_of("lectures", name, root))


def inner(code: types.CodeType) -> list:
    """The code of the functions in some code."""
    return [c for c in code.co_consts if isinstance(c, types.CodeType)]


def reads(code: types.CodeType, module: bool = False) -> set[str]:
    """The global names that code or a function in it needs, without those a module binds before."""
    needed, bound = set(), set()
    for step in dis.get_instructions(code):
        if step.opname == "STORE_NAME" and module:
            bound.add(step.argval)
        elif step.opname in ("LOAD_NAME", "LOAD_GLOBAL") and step.argval not in bound:
            needed.add(step.argval)
    return needed | (set().union(*map(reads, inner(code))) - bound)


def needs(trees: list[ast.Module]) -> list[set[str]]:
    """The names that each cell reads, itself or through the functions that it names."""
    through: dict[str, set[str]] = {}
    for statement in [statement for tree in trees for statement in tree.body]:
        code = compile(ast.Module([statement], []), "<statement>", "exec")
        for step in dis.get_instructions(code):
            if step.opname == "STORE_NAME":
                through.setdefault(step.argval, set()).update(*map(reads, inner(code)))
    found = [reads(compile(tree, "<cell>", "exec"), module=True) for tree in trees]
    for needed in found:
        left = list(needed)
        while left:
            more = through.get(left.pop(), set()) - needed
            needed |= more
            left += more
    return found
