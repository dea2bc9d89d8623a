"""Execute notebooks once, several at a time, into the cache from which the book is built."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import distributions
from pathlib import Path

import psutil
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from course.notebooks import BUILD, ROOT, CourseError, chapters, path_of, read

CELL_LIMIT = 300  # seconds for one cell; a whole notebook should need at most 120


class PeakMemory(threading.Thread):
    """Watch the resident memory of a process and its children; `.mib` is the largest seen."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.process, self.mib, self.stopped = psutil.Process(pid), 0.0, threading.Event()

    def run(self):
        while not self.stopped.wait(0.1):
            with contextlib.suppress(psutil.Error):
                family = [self.process, *self.process.children(recursive=True)]
                self.mib = max(self.mib, sum(p.memory_info().rss for p in family) / 2**20)


class Client(NotebookClient):
    """A notebook client that notes the peak memory of its kernel."""

    async def async_start_new_kernel(self, **kwargs):
        await super().async_start_new_kernel(**kwargs)
        self.memory = PeakMemory(self.km.provisioner.pid)
        self.memory.start()


def execute(notebook, path: Path, measured: dict | None = None, env: dict | None = None):
    """Run a notebook alone in an empty folder and return it with its outputs; CourseError says which cell failed.

    `env` is the kernel's whole environment, if it is not to be this process's.
    """
    with tempfile.TemporaryDirectory() as folder:
        client = Client(
            notebook,
            timeout=CELL_LIMIT,
            kernel_name="python3",
            record_timing=False,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
            resources={"metadata": {"path": folder}},
        )
        start = time.perf_counter()
        try:
            asyncio.run(client.async_execute(**({"env": env} if env else {})))
        except CellTimeoutError:
            raise CourseError(
                f"{path.parent.name}/{path.name}: a cell ran for more than {CELL_LIMIT} s."
            ) from None
        except DeadKernelError:
            raise CourseError(f"{path.parent.name}/{path.name}: the kernel died.") from None
        except CellExecutionError as error:
            raise CourseError(f"{path.parent.name}/{path.name} failed.\n{error}") from None
        finally:
            if hasattr(client, "memory"):
                client.memory.stopped.set()
        if measured is not None:
            measured.update(
                execution_seconds=time.perf_counter() - start, peak_mib=client.memory.mib
            )
    return notebook


def lock() -> str:
    """Every installed package with its version, as a requirements file."""
    found = {(d.metadata["Name"] or "").lower(): d.version for d in distributions()}
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()) if name)


def open_cache(root: Path = ROOT):
    """The book's cache of executed notebooks, emptied when the installed packages have changed."""
    folder, used = root / BUILD / ".jupyter_cache", root / BUILD / "requirements.lock"
    if folder.exists() and (not used.is_file() or used.read_text() != lock()):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    used.write_text(lock())
    return get_cache(folder)


def cached(path: Path, cache) -> tuple | None:
    """(record, executed notebook) of a notebook as it stands now, or None if it must be run."""
    notebook = read(path)
    try:
        record = cache.match_cache_notebook(notebook)
    except KeyError:
        return None
    return record, cache.merge_match_into_notebook(notebook)[1]


def execute_all(
    report, root: Path = ROOT, jobs: int | None = None, rooms=("lectures", "solutions")
) -> int:
    """Run every notebook that is not in the cache; `report(name, text)` gets a line for each.

    Returns the number of notebooks that were run; raises CourseError, after all have run, if one failed.
    """
    cache = open_cache(root)
    paths = [path_of(room, name, root) for room in rooms for name in chapters(room, root)]
    todo = [path for path in paths if cached(path, cache) is None]
    failures = []

    def one(path):
        measured: dict = {}
        return execute(read(path), path, measured), measured

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        running = {pool.submit(one, path): path for path in todo}
        for done in as_completed(running):
            path = running[done]
            label = f"{path.parent.name}/{path.stem}"
            try:
                notebook, measured = done.result()
            except CourseError as error:
                failures.append(str(error))
                report(label, "failed")
                continue
            cache.cache_notebook_bundle(
                CacheBundleIn(notebook, str(path), data=measured),
                check_validity=False,
                overwrite=True,
            )
            report(label, f"{measured['execution_seconds']:.0f} s, {measured['peak_mib']:.0f} MiB")
    (root / BUILD / "requirements.lock").write_text(
        lock()
    )  # a notebook may have installed what its last section needs
    if failures:
        raise CourseError("\n\n".join(failures))
    return len(todo)


def measurements(root: Path = ROOT) -> list[tuple[str, str, float, float]]:
    """(room, chapter, seconds, peak MiB) of every notebook in the cache."""
    cache, rows = open_cache(root), []
    for room in ("lectures", "solutions"):
        for name in chapters(room, root):
            if found := cached(path_of(room, name, root), cache):
                data = found[0].data
                rows.append(
                    (
                        room,
                        name,
                        data.get("execution_seconds", float("nan")),
                        data.get("peak_mib", float("nan")),
                    )
                )
    return rows
