"""Runs the cells of a chapter with one function wrong: `python -m course.mutants.running JOB`.

The reference run notes in which cells each function returns numbers, and in which it is
differentiated. A mutant runs only these cells and those that read what they bind, from the state
that the reference had before each of them. Who survives that is tried again on all cells.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import json
import os
import signal
import sys
import threading
import time
import types
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from course.mutants import NEVER, SPARE
from course.mutants.marking import Function, lecture, marked, needs
from course.notebooks import CourseError, tags

FACTOR = 1 + 1e-3


def change(x, number_like):
    """`x` with `number_like` applied to its floating-point leaves; `x` itself if none changes."""
    if isinstance(x, (float, complex)):
        return number_like(x)
    if isinstance(x, type):
        return x
    if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.inexact):
        return number_like(x) if hasattr(x, "__mul__") else x
    if isinstance(x, dict):
        new = copy.copy(x)
        dict.update(new, {key: change(value, number_like) for key, value in x.items()})
        return new if differ(new, x) else x
    if isinstance(getattr(x, "value", None), float):  # a node of a graph
        new = copy.copy(x)
        new.value = number_like(x.value)
        return x if new.value is x.value else new
    if not jax.tree_util.all_leaves([x]):
        leaves, tree = jax.tree.flatten(x, is_leaf=lambda y: y is not x)
        new = [change(leaf, number_like) for leaf in leaves]
        return jax.tree.unflatten(tree, new) if differ(new, leaves) else x
    if dataclasses.is_dataclass(x):
        fields = {f.name: getattr(x, f.name) for f in dataclasses.fields(x) if f.init}
        new = change(fields, number_like)
        return x if new is fields else dataclasses.replace(x, **new)
    return x


def inside(x):
    """The dict or list in which a container keeps its contents, or None."""
    if isinstance(x, types.SimpleNamespace):
        return vars(x)
    return x if isinstance(x, (dict, list)) else None


def differ(now, before) -> bool:
    """Whether two dicts or lists hold other objects."""
    if isinstance(now, dict):
        return now.keys() != before.keys() or any(now[key] is not before[key] for key in now)
    return len(now) != len(before) or any(map(lambda a, b: a is not b, now, before))


class TimeLimit(BaseException):
    """Not an Exception, so that no cell catches it."""


def stop(*_):
    raise TimeLimit


class Chapter:
    """A chapter in this process, which can be run with one of its functions wrong."""

    def __init__(self, name: str, root: Path):
        cells = [c for c in lecture(name, root).cells if c.cell_type == "code"]
        self.cells = [c for c in cells if not {"figure", "explore", "draw"} & set(tags(c))]
        self.ids = [c["id"] for c in self.cells]
        self.names = {"__name__": f"lectures.{name}", "_mutate": self.mutate}
        self.found: list[Function] = []
        trees = [marked(cell, self.found) for cell in self.cells]
        self.codes = [
            compile(tree, f"<{name}#{k}>", "exec") for tree, k in zip(trees, self.ids, strict=True)
        ]
        self.reads = needs(trees)
        self.called, self.returned, self.differentiated = (
            [set() for _ in self.found] for _ in range(3)
        )
        self.recording, self.number, self.fault, self.now = True, -1, "", 0
        self.local = threading.local()  # callbacks of JAX run in threads of their own
        self.watch = self.identity()

    def identity(self) -> Primitive:
        """A primitive of JAX that notes where it is differentiated, or lets no derivative pass."""

        def push(primals, tangents, number):
            if self.recording and type(tangents[0]) is not ad.Zero:
                self.differentiated[number].add(self.now)
            detached = self.fault == "detached" and number == self.number
            tangent = jnp.zeros_like(primals[0]) if detached else tangents[0]
            return watch.bind(*primals, number=number), tangent

        def batch(args, axes, number):
            return watch.bind(*args, number=number), axes[0]

        watch = Primitive("watch")
        watch.def_impl(lambda x, number: x)
        watch.def_abstract_eval(lambda x, number: x)
        mlir.register_lowering(watch, lambda context, x, number: [x])
        ad.primitive_jvps[watch] = push
        ad.primitive_transposes[watch] = lambda cotangent, x, number: [cotangent]
        batching.primitive_batchers[watch] = batch
        return watch

    def mutate(self, number: int, result):
        """What function `number` returns in the place of `result`."""
        if (not self.recording and number != self.number) or getattr(self.local, "busy", False):
            return result

        def leaf(x):
            traced = isinstance(x, jax.Array)
            boxed = not traced and hasattr(x, "value") and hasattr(x, "dtype")
            if self.recording:
                self.returned[number].add(self.now)
                self.differentiated[number] |= {self.now} if boxed else set()
            elif self.fault == "factor":
                return x * FACTOR
            elif boxed:
                while hasattr(x, "value"):
                    x = x.value
            return self.watch.bind(x, number=number) if traced else x

        if self.recording:
            self.called[number].add(self.now)
        self.local.busy = True  # a product with a box calls functions of the chapter
        try:
            return change(result, leaf)
        finally:
            self.local.busy = False

    def forget(self) -> None:
        """Drop what JAX has traced and compiled, and what functools.cache keeps."""
        jax.clear_caches()
        for value in self.names.values():
            if not isinstance(value, type) and hasattr(value, "cache_clear"):
                value.cache_clear()

    def keep(self) -> tuple[dict, dict]:
        """The names, and the contents of containers and random generators, as they are now."""
        contents, left = {}, [v for name, v in self.names.items() if not name.startswith("__")]
        while left:
            x = left.pop()
            if id(x) in contents:
                continue
            if isinstance(x, np.random.Generator):
                contents[id(x)] = x, x.bit_generator.state
            elif (held := inside(x)) is not None:
                contents[id(x)] = x, copy.copy(held)
                left += held.values() if isinstance(held, dict) else held
        return dict(self.names), contents

    def restore(self, kept: tuple[dict, dict], changed: dict) -> None:
        """Bring back what was kept, except for the names in `changed` and their contents."""
        self.names.clear()
        self.names.update(kept[0] | changed)
        for x, before in kept[1].values():
            if isinstance(x, np.random.Generator):
                x.bit_generator.state = before
            elif any(x is value for value in changed.values()):
                continue
            elif isinstance(x, list):
                x[:] = before
            else:
                inside(x).clear()
                inside(x).update(before)

    def execute(self, k: int) -> None:
        silence = io.StringIO()
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            exec(self.codes[k], self.names)
        if "setup" in tags(self.cells[k]):
            silent = types.SimpleNamespace(update=lambda *_: None)
            self.names["display"] = lambda *_, **__: silent  # there is nobody to show it to

    def reference(self) -> None:
        """Run all cells as they are, and keep the state before each of them."""
        self.kept = []
        for k, place in enumerate(self.ids):
            self.now = k
            self.kept.append(self.keep())
            self.forget()  # what was traced before is traced again, and noted
            try:
                self.execute(k)
            except Exception as error:
                raise CourseError(f"Cell {place} fails as it stands: {error!r}") from error
        self.kept.append(self.keep())
        self.recording = False

    def mutants(self) -> list[tuple[int, str]]:
        """(number of the function, fault): all that can be made wrong, and what is never called."""
        pairs = []
        for number, function in enumerate(self.found):
            if not function.skipped:
                pairs += [(number, NEVER)] * (not self.called[number])
                pairs += [(number, "factor")] * bool(self.returned[number])
                pairs += [(number, "detached")] * bool(self.differentiated[number])
        return pairs

    def noticed(self, number: int, fault: str, complete: bool = False) -> str:
        """Where and how the first cell fails when a function is wrong; empty if none does."""
        self.number, self.fault = number, fault
        self.forget()
        start = self.ids.index(self.found[number].cell) if number >= 0 else 0
        reached = self.differentiated[number] if fault == "detached" else self.returned[number]
        changed: dict = {}
        if complete:
            self.restore(self.kept[start], {})
        for k in range(start, len(self.cells)):
            if not (complete or k in reached or self.reads[k] & changed.keys()):
                before, after = self.kept[k][0], self.kept[k + 1][0]
                changed = {n: v for n, v in changed.items() if after.get(n) is before.get(n)}
                continue
            if not complete:
                self.restore(self.kept[k], changed)
                complete = "define" in tags(self.cells[k])  # it may change anything
            before = self.keep()
            try:
                self.execute(k)
            except (Exception, SystemExit) as error:
                return f"{self.ids[k]}: {type(error).__name__}"
            changed |= self.since(before)
        return ""

    def since(self, before: tuple[dict, dict]) -> dict:
        """The names that are bound anew since something was kept, or that hold other contents."""
        names, contents = before
        found = {}
        for name, value in self.names.items():
            held = inside(value)
            if value is not names.get(name) or (
                held is not None and differ(held, contents.get(id(value), (None, held))[1])
            ):
                found[name] = value
        return found


def main(job: str) -> None:
    """Try the mutants that a job asks for; each line of the output is a JSON list."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what compilers and the like print

    def tell(*event):
        out.write(json.dumps(event) + "\n")

    job = json.loads(job)
    warnings.simplefilter("ignore")
    try:
        chapter = Chapter(job["name"], Path(job["root"]))
        chapter.reference()
        start = time.process_time()
        if failed := chapter.noticed(-1, "", complete=True):
            raise CourseError(f"A second run fails though nothing was changed, at {failed}.")
    except CourseError as error:
        return tell("error", str(error))
    seconds = time.process_time() - start
    signal.signal(signal.SIGPROF, stop)
    pairs = [p for p in chapter.mutants() if job["only"] in (None, chapter.found[p[0]].name)]
    silent = [
        n for n, f in enumerate(chapter.found) if chapter.called[n] and not chapter.returned[n]
    ]
    tell("reference", seconds, len(pairs), silent)
    done = [tuple(pair) for pair in job["done"]]
    for pair in pairs[job["part"] :: job["jobs"]]:
        if pair in done:
            continue
        tell("start", *pair)
        start = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, 3 * seconds + SPARE)
        try:
            found = "" if pair[1] == NEVER else chapter.noticed(*pair)
            if not found and pair[1] != NEVER:
                found = chapter.noticed(*pair, complete=True)
        except TimeLimit:
            found = "time limit"
        signal.setitimer(signal.ITIMER_PROF, 0)
        tell("result", *pair, found, time.process_time() - start)
    tell("end")


if __name__ == "__main__":
    main(sys.argv[1])
