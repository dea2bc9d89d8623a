"""Where the notebooks are, how they are read and written, and what their cells mean."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent
ONLY = tuple(os.environ.get("ONLY", "").split())  # the chapters that `make … ONLY=` names
BUILD = os.environ.get("COURSE_BUILD", "_build")  # where everything goes that is built
KINDS = ("setup", "define", "draw", "run", "figure", "check", "explore")
CHAPTER_NAME = re.compile(r"\d\d_[a-z][a-z0-9_]*")
EXERCISE_MARK = re.compile(r"^[ \t]*#\s*Exercise\s+(\d+\.\d+)\b", re.MULTILINE | re.IGNORECASE)


class CourseError(Exception):
    """Something a person can mend: the message is one plain sentence."""


def chapters(room: str = "lectures", root: Path = ROOT) -> list[str]:
    """The names NN_subject of the chapters that have a notebook in `room`, in their order."""
    return sorted(
        path.stem for path in (root / room).glob("*.ipynb") if CHAPTER_NAME.fullmatch(path.stem)
    )


def chosen(room: str, only=(), root: Path = ROOT) -> list[str]:
    """The chapters of `room`, or those of them that `only` names; CourseError for unknown names."""
    known = chapters(room, root)
    if unknown := [name for name in only if name not in chapters("lectures", root)]:
        raise CourseError(
            f"There is no chapter {', '.join(unknown)}; the chapters are: {', '.join(known)}."
        )
    return [name for name in known if not only or name in only]


def book_folder(only=(), root: Path = ROOT) -> Path:
    """Where the pages of the book stand, or those of some chapters alone."""
    part = root / BUILD / "only" / "-".join(only) / "_build" if only else root / BUILD
    return part / "html"


def path_of(room: str, name: str, root: Path = ROOT) -> Path:
    """The path of chapter `name` in lectures, exercises or solutions; a CourseError if there is
    none."""
    path = root / room / f"{name}.ipynb"
    if not path.is_file():
        there = ", ".join(chapters(room, root)) or "none yet"
        raise CourseError(
            f"There is no notebook {room}/{name}.ipynb; the chapters there are: {there}."
        )
    return path


def contents(root: Path = ROOT) -> list[str]:
    """All pages that _toc.yml names, without their endings; a CourseError if one of them does not
    exist."""

    def files(entry):
        if isinstance(entry, list):
            return [file for item in entry for file in files(item)]
        own = [entry[key] for key in ("root", "file") if key in entry]
        return own + [
            file for key in ("parts", "chapters", "sections") for file in files(entry.get(key, []))
        ]

    found = files(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")))
    if missing := [
        f for f in found if not any((root / f"{f}{end}").is_file() for end in (".ipynb", ".md"))
    ]:
        raise CourseError(
            f"_toc.yml lists {', '.join(missing)}, which does not exist: bring it back or take "
            "it off the list."
        )
    return found


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook as nbformat 4; a CourseError in one sentence if it is not one."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        return notebook
    except FileNotFoundError:
        raise CourseError(f"There is no file {path}.") from None
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}.") from None
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        nbformat.ValidationError,
        nbformat.reader.NotJSONError,
        RecursionError,
    ):
        raise CourseError(
            f"{path} is not a Jupyter notebook, or it is damaged; "
            "save it once more as .ipynb and try again."
        ) from None


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook as the course keeps it: indent 1, sorted keys, UTF-8, one final newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def exercise_of(cell) -> str | None:
    """The exercise ("2.3") to which a solution or check cell belongs."""
    return cell.metadata.get("course", {}).get("exercise")


def code_hash(notebook) -> str:
    """A digest of all code, by which stored outputs know the code they came from."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:16]


def title(notebook) -> str:
    """The first heading of a notebook."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (
            found := re.search(r"^# (.+)$", cell.source, re.MULTILINE)
        ):
            return found[1].strip()
    raise CourseError("The notebook has no title (a first line `# …`).")


def address(root: Path = ROOT) -> dict[str, str]:
    """What is derived from the one place where the repository's address stands, `_config.yml`:
    `repository`, `branch`, `slug` (owner/name), `colab`, `raw` and `pages`, each without a final
    slash."""
    repository = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    url, branch = repository["url"].rstrip("/"), repository["branch"]
    if not (found := re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+)", url)):
        raise CourseError(
            f"repository.url in _config.yml must be https://github.com/OWNER/NAME, not {url}."
        )
    owner, name = found.groups()
    return {
        "repository": url,
        "branch": branch,
        "slug": f"{owner}/{name}",
        "colab": f"https://colab.research.google.com/github/{owner}/{name}/blob/{branch}",
        "raw": f"https://raw.githubusercontent.com/{owner}/{name}/{branch}",
        "pages": f"https://{owner}.github.io/{name}",
    }
