"""Grade a class: every submission in a sandbox of its own, on a Dask cluster, with a journal that
a stop does not harm."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path

import nbformat

from course import grading, sandbox, submissions, template
from course.grading import (
    chapter_of,
    exercises,
    fill,
    judge_in_company,
    parse,
    pristine,
    run_nbval,
    untouched,
    verdicts,
)
from course.notebooks import ROOT, CourseError, code_hash, exercise_of, path_of, read, tags
from course.running import execute
from course.sealed import looks_inside, sealed

DRAWS = 3  # of seeds, until the solutions pass
SHORTEST_LIMIT, PER_SOLUTION = (
    20,
    2,
)  # seconds for a cell: at least, and in times of the solutions' whole notebook
NOT_KEPT = {"scan", "while", "cond", "fori_loop", "_lambda", "lambda"}
_lock = threading.Lock()


# What the workers do
# ------------------------------------------------------------------------------------------------


def solve(name: str, notebook: str, seed: str) -> tuple[dict[str, list], float]:
    """Run a solution notebook under a seed: cell id → outputs, and the seconds it took.

    On the way the library functions that jax compiles are kept for the submissions: not those that
    carry the names of the solution's own functions, nor loops, which are made of them.
    """
    warm = template.shared()
    with tempfile.TemporaryDirectory(prefix="run-", dir=warm.folder.name) as folder:
        env = {
            **template.SCRUBBED,
            "PATH": os.environ.get("PATH", ""),
            "HOME": folder,
            "COURSE_SEED": seed,
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "JAX_COMPILATION_CACHE_DIR": f"{folder}/jax",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
        }  # else the folder's name is part of each key
        start, notebook = time.perf_counter(), nbformat.reads(notebook, as_version=4)
        own = NOT_KEPT | {
            word
            for c in notebook.cells
            if "solution" in tags(c)
            for word in re.findall(r"def (\w+)", c.source)
        }
        executed = execute(notebook, path_of("solutions", name), env=env)
        seconds = time.perf_counter() - start
        for path in Path(folder, "jax").glob("jit_*-cache"):
            if path.name[4:].split("-")[0].strip("_") not in {word.strip("_") for word in own}:
                shutil.move(path, Path(warm.cache(name), path.name))
    return {
        c["id"]: [out for out in c.outputs if out.get("name") != "stderr"]
        for c in executed.cells
        if c.cell_type == "code" and "check" in tags(c)
    }, seconds


def warm_up(name: str, notebook: str) -> None:
    """Fill this worker's store of compiled library functions, if it is empty."""
    with _lock:
        if not os.listdir(template.shared().cache(name)):
            solve(name, notebook, "0")


def grade_one(
    name: str,
    sources: dict[str, str],
    given: list[tuple[str, str]],
    solution: str,
    limit: float,
    limits: sandbox.Limits,
) -> dict:
    """Grade one submission, its solution cells by exercise. `given` are two (seed, exercise
    notebook with the outputs expected under it): what fails with the first is judged again with
    the second."""
    warm_up(name, solution)
    start, both = time.monotonic(), []
    for seed, text in given:
        notebook = nbformat.reads(text, as_version=4)
        for cell in notebook.cells:
            if "solution" in tags(cell) and exercise_of(cell) in sources:
                cell.source = sources[exercise_of(cell)]
        both.append((notebook, functools.partial(run_nbval, confined=(name, seed, limits))))
    faults = judge_in_company(both[0][0], exercises(both[0][0]), limit, both[0][1], other=both[1])
    return {
        "faults": faults,
        "seconds": time.monotonic() - start,
        "machine": socket.gethostname(),
        "unconfined": template.shared().unconfined,
    }


# What the instructor's process does
# ---------------------------------------------------------------------------------


class Journal:
    """What has been graded: a line of JSON for each submission, on the disk before the next one is
    begun."""

    def __init__(self, path: Path):
        self.path = path
        try:
            number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self.file = os.fdopen(number, "r+", encoding="utf-8")
        except OSError as error:
            raise CourseError(f"{path} cannot be written: {error.strerror}.") from None
        with contextlib.suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CourseError(
                    f"Another run is writing {path} at this moment: wait for it, or choose "
                    "another --out."
                ) from None
        text = self.file.read()
        self.done = {}
        for line in text.splitlines():
            with contextlib.suppress(ValueError, KeyError):  # a line that a crash cut off
                record = json.loads(line)
                self.done[tuple(record["key"])] = record
        if text and not text.endswith("\n"):
            self.file.write("\n")

    def add(self, record: dict) -> None:
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.done[tuple(record["key"])] = record


@contextlib.contextmanager
def deaf():
    """Processes begun now do not hear Ctrl-C, which is for this one."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def cluster(address: str | None, jobs: int | None):
    """A Dask client: of the scheduler at `address`, or of a worker on this machine that does
    `jobs` submissions at a time."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise CourseError(
            "Grading a class needs dask.distributed: `pip install distributed`, or run `make "
            "lab` once."
        ) from None
    dask.config.set({"distributed.comm.timeouts.connect": "20s"})
    with contextlib.ExitStack() as stack:
        if address is None:
            with deaf():
                local = LocalCluster(
                    n_workers=1,
                    threads_per_worker=jobs or os.cpu_count() or 1,
                    dashboard_address=":0",
                    worker_dashboard_address=None,
                    memory_limit=None,
                    silence_logs=50,
                )
            address = stack.enter_context(local)
        try:
            client = stack.enter_context(Client(address, timeout="20s"))
        except (OSError, ValueError):
            raise CourseError(
                f"No Dask scheduler answers at {address}: start one with `dask scheduler`, or "
                "leave --scheduler out."
            ) from None
        try:
            client.wait_for_workers(1, timeout=60)
        except TimeoutError:
            raise CourseError(
                f"The scheduler at {address} has no workers: start some with `dask worker "
                f"{address}`."
            ) from None
        find_course = functools.partial(
            exec, f"import sys; {str(ROOT)!r} in sys.path or sys.path.append({str(ROOT)!r})"
        )
        client.run_on_scheduler(find_course)
        client.register_worker_callbacks(find_course)
        yield client


def look(submission: submissions.Submission) -> dict:
    """Read a submission: what is needed to grade it and to tell about it, or why it cannot be
    graded."""
    about = {
        "student": submission.student,
        "file": submission.file,
        "modified": submission.modified,
        "chapter": "",
        "sources": {},
        "refused": {},
        "problem": "",
        "sha": "",
    }
    try:
        if submission.problem:
            raise CourseError(f"{submission.file} {submission.problem}.")
        try:
            raw = submission.read()
        except (
            Exception
        ) as error:  # a disk or zip that cannot be read: whatever it says, the row says it
            raise CourseError(
                f"{submission.file} cannot be read: {getattr(error, 'strerror', None) or error}."
            ) from None
        about["sha"] = hashlib.sha256(raw).hexdigest()[:32]
        notebook = parse(raw, submission.file)
        about["chapter"] = name = chapter_of(Path(submission.file.rsplit("/", 1)[-1]), notebook)
        given = pristine(name)
        filled, about["missing"] = fill(given, notebook)
        about["sources"] = {exercise_of(c): c.source for c in filled.cells if "solution" in tags(c)}
        about["refused"] = {
            n: ("refused", why)
            for n, source in about["sources"].items()
            if (why := looks_inside(source))
        }
        about["stubs"] = untouched(given, filled)
    except CourseError as error:
        about["problem"] = str(error)
    return about


class Chapter:
    """What a chapter's submissions are graded with. A few times other seeds are drawn, if the
    solutions fail under one: by chance random inputs can be too delicate for a check's
    tolerance."""

    def __init__(self, client, name: str):
        self.name, self.pristine = name, pristine(name)
        solution = read(path_of("solutions", name))
        secret = secrets.token_hex(8)
        for make in [lambda nb: sealed(nb, secret)] * DRAWS + [
            lambda nb: nb
        ] * DRAWS:  # a check that cannot be sealed is used as it is
            self.seeds = [str(secrets.randbelow(2**32)) for _ in range(2)]
            self.solution, given = nbformat.writes(make(solution)), make(self.pristine)
            try:
                outputs = client.gather(
                    [
                        client.submit(solve, name, self.solution, seed, pure=False)
                        for seed in self.seeds
                    ]
                )
                break
            except CourseError as error:
                problem = error
        else:
            raise CourseError(f"The course's own solutions do not run here: {problem}")
        self.limit = min(
            grading.CELL_LIMIT,
            max(SHORTEST_LIMIT, round(PER_SOLUTION * max(seconds for _, seconds in outputs))),
        )
        self.given = []
        for seed, (expected, _) in zip(self.seeds, outputs, strict=True):
            for cell in given.cells:
                if cell.get("id") in expected:
                    cell.outputs, cell.execution_count = expected[cell["id"]], 1
            self.given.append((seed, nbformat.writes(given)))


def grade_class(
    path: Path,
    out: Path,
    jobs: int | None = None,
    scheduler: str | None = None,
    limit: float | None = None,
    limits: sandbox.Limits | None = None,
    deadline: float | None = None,
    step=lambda done, total: None,
) -> dict:
    """Grade all submissions in a folder or zip; write `out` and what stands beside it. `step` is
    told how far it is."""
    limits = limits or sandbox.Limits()
    from course.report import write_all

    if path.is_dir() and path.resolve() in [out.resolve().parent, *out.resolve().parents]:
        raise CourseError(
            "The results would lie among the submissions: choose an --out outside of that folder."
        )
    found = submissions.find(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    journal = Journal(out.with_name(f"{out.stem}-journal.jsonl"))
    looked = [look(s) for s in found]
    known = {
        about["chapter"]: code_hash(read(path_of("solutions", about["chapter"])))
        for about in looked
        if not about["problem"]
    }
    for about in looked:
        about["key"] = (
            about["student"],
            about["file"],
            about["sha"],
            known.get(about["chapter"], ""),
        )
    todo = [about for about in looked if not about["problem"] and about["key"] not in journal.done]
    step(len(looked) - len(todo), len(looked))
    try:
        if todo:
            with cluster(scheduler, jobs) as client:
                run(
                    client,
                    todo,
                    journal,
                    limit,
                    limits,
                    lambda left: step(len(looked) - left, len(looked)),
                )
    except (OSError, RuntimeError) as error:  # distributed's, when the scheduler goes away
        raise CourseError(
            f"The Dask cluster failed, the same command goes on ({str(error).splitlines()[0]})."
        ) from error
    finally:
        summary = write_all(out, looked, journal.done, deadline)
    return summary


def run(
    client, todo: list[dict], journal: Journal, limit: float | None, limits: sandbox.Limits, step
) -> None:
    """Grade what is to do, a few more at a time than there are workers, and write each result down
    as it comes."""
    from distributed import as_completed

    chapters = {
        name: Chapter(client, name) for name in sorted({about["chapter"] for about in todo})
    }
    waiting, running, flow = list(reversed(todo)), {}, as_completed()

    def begin():
        while waiting and len(running) < 2 * max(1, sum(client.nthreads().values())):
            about = waiting.pop()
            chapter = chapters[about["chapter"]]
            sources = {
                n: s
                for n, s in about["sources"].items()
                if n not in about["stubs"] and n not in about["refused"]
            }
            future = client.submit(
                grade_one,
                chapter.name,
                sources,
                chapter.given,
                chapter.solution,
                limit or chapter.limit,
                limits,
                pure=False,
                retries=1,
            )
            running[future] = about, chapter
            flow.add(future)

    begin()
    for future in flow:
        about, chapter = running.pop(future)
        record = {"key": about["key"], "rows": [], "graded": True}
        try:
            result = future.result()
            faults = result.pop("faults") | about["refused"]
            told = {
                n: fault and (fault[0], re.sub("|".join(chapter.seeds), "…", fault[1]))
                for n, fault in faults.items()
            }
            record |= {
                **result,
                "rows": [
                    asdict(v)
                    for v in verdicts(chapter.pristine, about["missing"], about["stubs"], told)
                ],
            }
        except Exception as error:
            # the grader's own trouble, never the student's: told, and tried again by the next run
            why = (
                str(error)
                if isinstance(error, CourseError)
                else f"the grader failed ({type(error).__name__}: {error})"
            )
            record |= {
                "graded": False,
                "problem": f"could not be graded, run the same command again: {why}"[:500],
            }
        if record["graded"]:
            journal.add(record)
        else:
            journal.done[tuple(record["key"])] = record
        step(len(waiting) + len(running))
        future.release()
        begin()
