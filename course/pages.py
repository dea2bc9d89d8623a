"""Pages of the book that are made from the executed notebooks, never typed: the scorecard and the
gallery."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from course.notebooks import BUILD, ROOT, CourseError, chosen, path_of, tags, title
from course.running import cached, open_cache

SCORECARD = "application/vnd.two-lessons.scorecard+json"


def executed(root: Path = ROOT, only=()):
    """(name, executed lecture) of the chapters; a CourseError if one has not been run."""
    cache = open_cache(root)
    for name in chosen("lectures", only, root):
        if (found := cached(path_of("lectures", name, root), cache)) is None:
            raise CourseError(f"lectures/{name}.ipynb has not been run yet: `make book` runs it.")
        yield name, found[1]


def scorecard_rows(notebook) -> list[list[str]]:
    """The rows of a notebook's scorecard, as they were displayed, without the head."""
    for cell in reversed(notebook.cells):
        for output in cell.get("outputs", []):
            if rows := output.get("data", {}).get(SCORECARD):
                return rows[1:]
    return []


def scorecard_page(root: Path = ROOT, only=()) -> str:
    """The scorecards of all chapters as MyST tables; sources that are BibTeX keys become
    citations."""
    keys = set(
        re.findall(
            r"@\w+\{([^,\s]+),", (root / "book" / "references.bib").read_text(encoding="utf-8")
        )
    )
    text = []
    for name, notebook in executed(root, only):
        if not (rows := scorecard_rows(notebook)):
            raise CourseError(f"lectures/{name}.ipynb shows no scorecard.")
        text += [
            f"## [{title(notebook)}](../lectures/{name}.ipynb)",
            "",
            "| quantity | this course | reference | source | tolerance |",
            "|---|---:|---:|---|---:|",
        ]
        for row in rows:
            quantity, value, reference, source, tolerance = (
                cell.replace("|", "\\|") for cell in row
            )
            source = f"{{cite}}`{source}`" if source in keys else source
            relation = {"<": "below the reference", ">": "above the reference"}.get(
                tolerance, tolerance
            )
            text.append(f"| {quantity} | {value} | {reference} | {source} | {relation} |")
        text.append("")
    return "\n".join(text)


def thumbnail(notebook) -> tuple[bytes, str]:
    """(PNG, alt text) of the figure whose cell carries the metadata course.thumbnail, else of the
    first figure."""
    figures = [c for c in notebook.cells if c.cell_type == "code" and "figure" in tags(c)]
    for cell in sorted(
        figures, key=lambda c: not c.metadata.get("course", {}).get("thumbnail", False)
    ):
        for output in cell.outputs:
            if png := output.get("data", {}).get("image/png"):
                return base64.b64decode(png), cell.metadata.get("mystnb", {}).get("image", {}).get(
                    "alt", ""
                )
    raise CourseError(f"{title(notebook)}: no figure cell shows a picture.")


def promise(notebook) -> str:
    """The one sentence of promise below the title."""
    return notebook.cells[0].source.split("\n", 1)[-1].strip().split("\n\n")[0].replace("\n", " ")


def gallery(root: Path = ROOT, only=()) -> str:
    """The welcome page's cards: a picture, the title and the promise of each chapter. Writes the
    pictures too."""
    pictures = root / BUILD / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    text = ["::::{grid} 1 2 2 2", ":gutter: 3", ""]
    for name, notebook in executed(root, only):
        png, alt = thumbnail(notebook)
        (pictures / f"{name}.png").write_bytes(png)
        text += [
            f":::{{grid-item-card}} {title(notebook)}",
            f":link: ../lectures/{name}",
            ":link-type: doc",
            f":img-top: ../_build/pictures/{name}.png",
            f":img-alt: {alt}",
            "",
            promise(notebook),
            ":::",
            "",
        ]
    return "\n".join([*text, "::::", ""])


def make_pages(root: Path = ROOT, only=()) -> None:
    """Write _build/scorecard.md and _build/gallery.md (only if changed, so that Sphinx rebuilds no
    more than it must)."""
    for name, text in (
        ("scorecard.md", scorecard_page(root, only)),
        ("gallery.md", gallery(root, only)),
    ):
        path = root / BUILD / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
