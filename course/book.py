"""Build the book from the executed notebooks, with warnings as errors: the whole, or one chapter's
pages."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from course.notebooks import BUILD, ROOT, CourseError, book_folder, chosen, contents
from course.pages import make_pages
from course.running import execute_all, fingerprint, lock, write_whole
from course.times import phase

SHARED_PAGES = ("book/notation", "book/glossary", "book/references", "book/scorecard")


def build(report, root: Path = ROOT, jobs: int | None = None, only=()) -> Path:
    """Run what has changed, make the pages, and return the book's folder; CourseError says what is
    wrong.

    With `only`, the notebooks and pages of these chapters, in a folder of their own.
    """
    contents(root)  # says so at once if a page is missing
    report(execute(report, root, jobs, only))
    make_pages(root, only)
    html, output = book_folder(only, root), book_folder(only, root).parent
    fresh = forget_old_build(root, only)
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "-W", "-n"]
    command += ["--keep-going", "-q", str(root)]
    if only:
        toc = output / "_toc.yml"
        write_whole(toc, yaml.safe_dump(contents_of(only, root)))
        command += ["--toc", str(toc), "--path-output", str(output.parent)]
    report("building the book …")
    env = {**os.environ, "JUPYTERCACHE": str(root / BUILD / ".jupyter_cache")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with phase("pages", root if fresh and not only else None):
        done = subprocess.run(command, cwd=root, env=env, **pipes)
    if done.returncode:
        shutil.rmtree(output / ".doctrees", ignore_errors=True)  # else the next build is silent
        told = "The book has warnings or errors; the lines above say where."
        raise CourseError(f"{done.stdout.strip()}\n{told}")
    return html


def execute(report, root: Path = ROOT, jobs: int | None = None, only=()) -> str:
    """Run every notebook that has changed since it was last run; say how many."""
    ran = execute_all(report, root, jobs, only=only)
    write_whole(root / BUILD / "requirements.lock", lock())
    return f"{ran} notebooks were run." if ran else "Nothing was run: no notebook has changed."


def contents_of(only, root: Path = ROOT) -> dict:
    """A table of contents for the pages of some chapters."""
    rooms = ("lectures", "exercises", "solutions")
    files = [f"{room}/{name}" for name in chosen("lectures", only, root) for room in rooms]
    chapters = [{"file": file} for file in [*files[1:], *SHARED_PAGES]]
    return {"format": "jb-book", "root": files[0], "chapters": chapters}


def forget_old_build(root: Path = ROOT, only=()) -> bool:
    """Remove the built pages when what is on all of them (settings, scripts, styles, packages) has
    changed, since Sphinx alone would keep old copies. True if there are none now."""
    digest = hashlib.sha256(fingerprint(root).encode())
    for path in [root / "_config.yml", root / "_toc.yml", *sorted((root / "book").rglob("*"))]:
        if path.is_file() and path.suffix not in (".md", ".pyc"):
            digest.update(path.read_bytes())
    html = book_folder(only, root)
    stamp = html.parent / "static.sha256"
    if not stamp.is_file() or stamp.read_text() != digest.hexdigest():
        shutil.rmtree(html, ignore_errors=True)
        shutil.rmtree(html.parent / ".doctrees", ignore_errors=True)
        write_whole(stamp, digest.hexdigest())
    return not html.is_dir()
