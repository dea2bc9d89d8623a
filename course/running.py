"""Execute notebooks once, several at a time, into the cache from which the book is built.

What was executed is known by a notebook's code, the kernel's Python, and the versions of the
packages that notebooks may import: those of requirements.txt and what they pull in. What only
tests or graders need changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import platform
import re
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path

import psutil
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from packaging.requirements import Requirement

from course.notebooks import BUILD, ROOT, CourseError, chosen, path_of, read

CELL_LIMIT = 300  # seconds for one cell; a whole notebook should need at most 120


@dataclass
class Measured:
    """What a notebook took: seconds by the clock, seconds of all cores, the largest memory in
    MiB."""

    seconds: float = float("nan")
    cpu: float = float("nan")
    mib: float = 0.0


class Meter(threading.Thread):
    """Watch a process and its children until `stop`, and note what they take."""

    def __init__(self, pid: int, measured: Measured):
        super().__init__(daemon=True)
        self.process, self.measured = psutil.Process(pid), measured
        self.begun, self.stopped = time.perf_counter(), threading.Event()

    def look(self):
        with contextlib.suppress(psutil.Error):
            children = self.process.children(recursive=True)
            memory = sum(p.memory_info().rss for p in [self.process, *children])
            own = self.process.cpu_times()
            cpu = sum(own[:4]) + sum(sum(p.cpu_times()[:2]) for p in children)
            self.measured.mib = max(self.measured.mib, memory / 2**20)
            self.measured.cpu = cpu
        self.measured.seconds = time.perf_counter() - self.begun

    def run(self):
        while not self.stopped.wait(0.1):
            self.look()


class Client(NotebookClient):
    """A notebook client that measures its kernel from its start to the last cell."""

    meter = None

    async def async_start_new_kernel(self, **kwargs):
        await super().async_start_new_kernel(**kwargs)
        self.meter = Meter(self.km.provisioner.pid, self.measured)
        self.meter.start()

    async def _async_cleanup_kernel(self):
        if self.meter:
            self.meter.look()
            self.meter.stopped.set()
        await super()._async_cleanup_kernel()


def execute(notebook, path: Path, measured: Measured | None = None, env: dict | None = None):
    """Run a notebook alone in an empty folder and return it with its outputs; CourseError says
    which cell failed.

    `measured` is filled; `env` is the kernel's whole environment, if it is not to be this
    process's.
    """
    place = f"{path.parent.name}/{path.name}"
    with tempfile.TemporaryDirectory() as folder:
        client = Client(
            notebook,
            timeout=CELL_LIMIT,
            kernel_name="python3",
            record_timing=False,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
            resources={"metadata": {"path": folder}},
        )
        client.measured = measured or Measured()
        try:
            asyncio.run(client.async_execute(**({"env": env} if env else {})))
        except CellTimeoutError:
            raise CourseError(f"{place}: a cell ran for more than {CELL_LIMIT} s.") from None
        except DeadKernelError:
            raise CourseError(f"{place}: the kernel died.") from None
        except CellExecutionError as error:
            raise CourseError(f"{place} failed.\n{error}") from None
        finally:
            if client.meter:
                client.meter.stopped.set()
    return notebook


def lock() -> str:
    """Every installed package with its version, as a requirements file."""
    found = {(d.metadata["Name"] or "").lower(): d.version for d in distributions()}
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()) if name)


def pulled_in(requirements: Path) -> dict[str, str]:
    """Package → version, of those that a requirements file names and of all that they need in
    turn."""
    lines = (line.split("#")[0].strip() for line in requirements.read_text().splitlines())
    todo, found = [(Requirement(line), {""}) for line in lines if line], {}
    seen = set()
    while todo:
        requirement, extras = todo.pop()
        key = re.sub(r"[-_.]+", "-", requirement.name).lower(), frozenset(requirement.extras)
        needed = not requirement.marker or any(
            requirement.marker.evaluate({"extra": extra}) for extra in extras
        )
        if key in seen or not needed:
            continue
        seen.add(key)
        with contextlib.suppress(PackageNotFoundError):  # then it is in nobody's way
            package = distribution(requirement.name)
            found[key[0]] = package.version
            todo += [(Requirement(r), requirement.extras or {""}) for r in package.requires or []]
    return found


def fingerprint(root: Path = ROOT) -> str:
    """Python and the packages that notebooks may import, with their versions."""
    packages = pulled_in(root / "requirements.txt")
    lines = [f"{name}=={version}" for name, version in sorted(packages.items())]
    return "\n".join([f"python=={platform.python_version()}", *lines, ""])


def write_whole(path: Path, text: str) -> None:
    """Write a file in one step, if it is to change: who reads it meanwhile finds the old one or
    the new."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def open_cache(root: Path = ROOT):
    """The book's cache of executed notebooks, emptied when Python or packages of the notebooks
    have changed."""
    folder, used = root / BUILD / ".jupyter_cache", root / BUILD / "executed-with.txt"
    now = fingerprint(root)
    if folder.exists() and (not used.is_file() or used.read_text(encoding="utf-8") != now):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(used, now)
    return get_cache(folder)


def known(notebook, cache) -> tuple | None:
    """(Measured, executed notebook) of a notebook whose code was run before, or None."""
    try:
        record = cache.match_cache_notebook(notebook)
    except KeyError:
        return None
    return Measured(**record.data), cache.merge_match_into_notebook(notebook)[1]


def cached(path: Path, cache) -> tuple | None:
    """(Measured, executed notebook) of a notebook as it stands now, or None if it must be run."""
    return known(read(path), cache)


def keep(notebook, path: Path, measured: Measured, cache) -> None:
    """Put an executed notebook into the cache."""
    bundle = CacheBundleIn(notebook, str(path), data=asdict(measured))
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def ran(notebook, path: Path, root: Path = ROOT):
    """The executed notebook, which will stand at `path`: from the cache, or run now and kept."""
    cache = open_cache(root)
    if found := known(notebook, cache):
        return found[1]
    measured = Measured()
    done = execute(copy.deepcopy(notebook), path, measured)
    keep(done, path, measured, cache)
    return done


def expected_seconds(paths: list[Path], cache) -> dict[Path, float]:
    """How long notebooks took when they were last run in whatever form, else the aim of their
    room."""
    from course.budget import AIM

    last = {
        record.uri: record.data["seconds"]
        for record in sorted(cache.list_cache_records(), key=lambda record: record.pk)
    }
    return {path: last.get(str(path), AIM[path.parent.name]) for path in paths}


def execute_all(
    report, root: Path = ROOT, jobs: int | None = None, rooms=("lectures", "solutions"), only=()
) -> int:
    """Run every notebook that is not in the cache; `report(text)` gets a line for each, with what
    is left.

    Returns the number of notebooks that were run; raises CourseError, after all have run, if one
    failed.
    """
    cache = open_cache(root)
    paths = [path_of(room, name, root) for room in rooms for name in chosen(room, only, root)]
    expected = expected_seconds([path for path in paths if cached(path, cache) is None], cache)
    left, failures, jobs = dict(expected), [], jobs or os.cpu_count() or 1

    def one(path):
        measured = Measured()
        return execute(read(path), path, measured), measured

    if left:
        report(f"{len(left)} notebooks to run, about {minutes(left, jobs)}")
    with ThreadPoolExecutor(jobs) as pool:
        longest_first = sorted(left, key=lambda path: (left[path], path.stat().st_size))[::-1]
        running = {pool.submit(one, path): path for path in longest_first}
        for done in as_completed(running):
            path = running[done]
            del left[path]
            label = f"{path.parent.name}/{path.stem}"
            try:
                notebook, measured = done.result()
            except CourseError as error:
                failures.append(str(error))
                report(f"{label}: failed")
                continue
            keep(notebook, path, measured, cache)
            rest = f"; about {minutes(left, jobs)} left" if left else ""
            report(f"{label}: {measured.seconds:.0f} s, {measured.mib:.0f} MiB{rest}")
    if failures:
        raise CourseError("\n\n".join(failures))
    return len(expected)


def minutes(seconds: dict[Path, float], jobs: int) -> str:
    """The time for these notebooks, `jobs` at a time, in words."""
    total = max(sum(seconds.values()) / jobs, max(seconds.values()))
    return f"{total / 60:.0f} min" if total > 90 else f"{total:.0f} s"


def measurements(root: Path = ROOT, only=()) -> list[tuple[str, str, Measured]]:
    """(room, chapter, Measured) of every notebook that is in the cache as it stands."""
    cache, rows = open_cache(root), []
    for room in ("lectures", "solutions"):
        for name in chosen(room, only, root):
            if found := cached(path_of(room, name, root), cache):
                rows.append((room, name, found[0]))
    return rows
