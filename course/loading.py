"""`course.load("NN_subject")`: the functions of a chapter, taken from the very cells that the
reader sees."""

from __future__ import annotations

import contextlib
import io
import linecache
from pathlib import Path
from types import SimpleNamespace

from course.notebooks import ROOT, path_of, read, tags


def load(name: str, root: Path = ROOT) -> SimpleNamespace:
    """Run the `setup`, `define` and `draw` cells of lectures/`name`.ipynb and return the names
    that they define.

    Nothing is printed or plotted. Errors point to the notebook's cell, and `inspect.getsource`
    works.
    """
    import matplotlib

    matplotlib.use("agg")
    path = path_of("lectures", name, root)
    names: dict = {"__name__": f"lectures.{name}"}
    for cell in read(path).cells:
        if cell.cell_type == "code" and {"setup", "define", "draw"} & set(tags(cell)):
            place = f"<{path.stem}#{cell.get('id', '')}>"
            linecache.cache[place] = (
                len(cell.source),
                None,
                cell.source.splitlines(keepends=True),
                place,
            )
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(cell.source, place, "exec"), names)
    return SimpleNamespace(
        **{key: value for key, value in names.items() if not key.startswith("__")}
    )
