"""Find what a class has handed in, in a folder or a zip file. Nothing is unpacked, no link is
followed, nothing is left out: what cannot be used is a submission too, with the problem in a
sentence."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from course.notebooks import CourseError, chapters

LARGEST = 200 * 2**20  # bytes of one notebook
IGNORED = re.compile(r"\..*|__MACOSX|Thumbs\.db|desktop\.ini|~\$.*", re.IGNORECASE)


@dataclass
class Submission:
    """One notebook of one student, or what stands in its place."""

    student: str
    file: str  # its path within the folder or zip, for people
    modified: float = 0.0  # seconds since 1970
    read: Callable[[], bytes] | None = None
    problem: str = ""


@dataclass
class Entry:
    parts: tuple[str, ...]
    modified: float
    read: Callable[[], bytes]
    problem: str = ""


def shown(name: str) -> str:
    """A name that can be printed and written: undecodable bytes and control characters become
    question marks."""
    text = unicodedata.normalize(
        "NFC", name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )
    return "".join(c if c.isprintable() else "?" for c in text).strip() or "(no name)"


def in_folder(root: Path) -> Iterator[Entry]:
    """Everything in a folder that is not a folder, and the folders of the first level that hold
    nothing."""
    full = set()
    for where, folders, files in os.walk(root, followlinks=False):
        folders[:] = sorted(f for f in folders if not IGNORED.fullmatch(f))
        inside = Path(where).relative_to(root).parts
        links = [f for f in folders if os.path.islink(os.path.join(where, f))]
        for name in sorted(f for f in [*files, *links] if not IGNORED.fullmatch(f)):
            path = Path(where, name)
            full.add((*inside, name)[0])
            try:
                state = path.lstat()
            except OSError as error:
                yield Entry((*inside, name), 0.0, bytes, f"cannot be read: {error.strerror}")
                continue
            problem = (
                "is a link, and links are not followed: hand in the file itself"
                if stat.S_ISLNK(state.st_mode)
                else "is not an ordinary file"
                if not stat.S_ISREG(state.st_mode)
                else size_problem(state.st_size)
            )
            yield Entry((*inside, name), state.st_mtime, path.read_bytes, problem)
    for path in sorted(root.iterdir()):
        if path.is_dir() and path.name not in full and not IGNORED.fullmatch(path.name):
            yield Entry((path.name, ""), 0.0, bytes)


def in_zip(path: Path) -> Iterator[Entry]:
    """The files of a zip file, which stays packed."""
    try:
        archive = zipfile.ZipFile(path)
        infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise CourseError(f"{path} is not a zip file, or it is damaged.") from None
    entries = [entry for info in infos if (entry := packed(archive, info))]
    full = {e.parts[:k] for e in entries if e.parts[-1] for k in range(len(e.parts))}
    entries = [
        e for e in entries if e.parts[-1] or e.parts[:-1] not in full
    ]  # of the folders, the empty ones
    tops = {e.parts[0] for e in entries if not e.problem}
    below = {e.parts[1] for e in entries if len(e.parts) > 2 and e.parts[0] in tops}
    if len(tops) == 1 and (len(below) > 1 or tops == {path.stem}):  # the folder itself was packed
        entries = [
            replace(e, parts=e.parts[1:])
            if e.parts[0] in tops and e.parts[1:2] not in ((), ("",))
            else e
            for e in entries
        ]
    yield from sorted(entries, key=lambda e: e.parts)


def packed(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry | None:
    """A member of a zip file; None if it is none of the student's."""
    name, modified = info.filename, 0.0
    if not info.flag_bits & 0x800:  # written without UTF-8's mark: often UTF-8 all the same
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    raw = [p for p in re.split(r"[/\\]", name) if p not in ("", ".")]
    parts = tuple(p for p in raw if p != "..")
    if not parts or any(IGNORED.fullmatch(p) for p in parts) or (info.is_dir() and len(parts) > 2):
        return None
    problem = (
        "has a name that points out of the zip file"
        if ".." in raw or name.startswith(("/", "\\"))
        else "is a link, and links are not followed: hand in the file itself"
        if stat.S_ISLNK(info.external_attr >> 16)
        else "is protected by a password"
        if info.flag_bits & 1
        else size_problem(info.file_size)
    )
    with contextlib.suppress(ValueError, OverflowError):
        modified = datetime(*info.date_time).timestamp()
    return Entry(
        (*parts, "") if info.is_dir() else parts, modified, lambda: unzip(archive, info), problem
    )


def unzip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as file:
        return file.read(LARGEST + 1)


def size_problem(size: int) -> str:
    return (
        f"is too large ({size / 2**20:.0f} MB, at most {LARGEST >> 20} MB): clear its outputs "
        "and save it again"
        if size > LARGEST
        else ""
    )


def student_of(parts: tuple[str, ...]) -> str:
    """The folder's name, or that of the notebook without the chapter's: `Ada 01_software2.ipynb`
    is Ada's."""
    if len(parts) > 1:
        return shown(parts[0])
    stem = re.sub(r"\.(ipynb|zip)$", "", parts[0], flags=re.IGNORECASE)
    for name in chapters("solutions"):
        if rest := stem.replace(name, "").strip(" _-.()"):
            stem = rest if name in stem else stem
    return shown(stem)


def find(path: Path) -> list[Submission]:
    """All submissions in a folder or zip file, by student."""
    if not path.exists():
        raise CourseError(f"There is no folder or zip file {path}.")
    entries: dict[str, list[Entry]] = {}
    for entry in in_folder(path.resolve()) if path.is_dir() else in_zip(path):
        entries.setdefault(student_of(entry.parts), []).append(entry)
    found = []
    for student, mine in sorted(entries.items()):
        notebooks = [
            e
            for e in mine
            if e.parts[-1].lower().endswith(".ipynb") or (e.problem and "link" in e.problem)
        ]
        for entry in notebooks:
            found.append(
                Submission(
                    student, shown("/".join(entry.parts)), entry.modified, entry.read, entry.problem
                )
            )
        if not notebooks:
            others = [shown(e.parts[-1]) for e in mine if e.parts[-1]]
            if all(len(e.parts) == 1 for e in mine) and not any(
                n.lower().endswith((".zip", ".ipynb.txt")) for n in others
            ):
                continue  # a stray file beside the students' folders: readme.txt, roster.csv
            holds = (
                f"only {', '.join(others[:3])}{' …' if len(others) > 3 else ''}"
                if others
                else "it is empty"
            )
            found.append(
                Submission(
                    student, shown(mine[0].parts[0]), problem=f"holds no notebook (.ipynb): {holds}"
                )
            )
    if not found:
        raise CourseError(
            f"{path} holds no submissions: a folder or a notebook for each student is expected."
        )
    return found
