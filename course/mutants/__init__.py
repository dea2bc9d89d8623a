"""Which functions of a chapter could be wrong unnoticed? `make mutants ONLY=NN_subject` tries them.

course.mutants.marking finds the functions, course.mutants.running runs the cells in a process of
its own; here are the processes and the record.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import queue
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from course.mutants.marking import Function, functions, lecture
from course.notebooks import BUILD, ROOT, CourseError, code_hash, tags

NEVER = "never called"  # in the place of a fault
SPARE = 60  # seconds of processor time that a mutant has beyond three times the chapter's own


class Worker:
    """A process that tries every `jobs`-th mutant, started again when it hangs or dies."""

    def __init__(self, job: dict, known: dict, tell):
        self.job, self.tell, self.results, self.silent = job | {"done": [*known]}, tell, {}, []
        self.died: list | None = None

    def run(self) -> None:
        while not self.attempt():
            pass

    def attempt(self) -> bool:
        """Read what a process reports; True when it has come to its end."""
        home = Path(__file__).resolve().parents[2]
        env = os.environ | {
            "PYTHONPATH": str(home),
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "agg",
            "JAX_COMPILATION_CACHE_DIR": self.job["cache"],
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        command = [sys.executable, "-m", "course.mutants.running", json.dumps(self.job)]
        lines: queue.Queue = queue.Queue()

        with tempfile.TemporaryDirectory() as folder, open(Path(folder, "log"), "w+") as log:
            process = subprocess.Popen(
                command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
            )

            def listen():
                for line in process.stdout:
                    lines.put(json.loads(line))
                lines.put(["died"])

            threading.Thread(target=listen, daemon=True).start()
            limit, current = None, None
            try:
                while True:
                    event, *rest = lines.get(timeout=limit)
                    if event == "reference":
                        limit = 10 * (3 * rest[0] + SPARE)  # others may use the processor
                        self.silent = rest[2]
                        self.tell("reference", rest)
                    elif event == "start":
                        current = rest
                    elif event == "result":
                        self.finish(*rest)
                    elif event == "error":
                        raise CourseError(rest[0])
                    elif event == "end":
                        return True
                    else:
                        break
            except queue.Empty:
                event = "time limit"
            finally:
                process.kill()
                process.wait()
            if current is None or tuple(current) in self.job["done"]:
                log.seek(0)
                raise CourseError("The process that runs the cells died.\n" + log.read()[-2000:])
            if event == "time limit" or current == self.died:
                self.finish(*current, event, 0.0)
            self.died = current  # once may be by chance
            return False

    def finish(self, number, fault, found, seconds) -> None:
        self.job["done"].append((number, fault))
        self.results[number, fault] = found
        self.tell("result", (number, fault, found, seconds))


@dataclass
class Outcome:
    """What a run has found: for each (cell, function, fault) the cell that noticed it, or ""."""

    functions: list[Function]
    results: dict[tuple[str, str, str], str]
    silent: list[Function]  # called, but they return no floating-point numbers

    @property
    def survivors(self) -> list[tuple[str, str, str]]:
        return [key for key, found in self.results.items() if not found]


def run(
    name: str,
    root: Path = ROOT,
    report=print,
    jobs: int = 1,
    function: str | None = None,
    again: bool = False,
) -> Outcome:
    """Try the mutants of a chapter in `jobs` processes, and write the record.

    `report` gets a line of text for each mutant. A run that was stopped is taken up again. With
    `function`, the name of one, its mutants alone are tried, and nothing is written. With `again`
    the survivors of the last run here are tried against the checks of today; who was noticed then
    counts as noticed.
    """
    found = functions(name, root)
    if function and function not in [f.name for f in found]:
        raise CourseError(f"The define cells of lectures/{name}.ipynb have no {function}.")
    cells = lecture(name, root)
    defined = [cell.source for cell in cells.cells if "define" in tags(cell)]
    stamp = [digest(defined), code_hash(cells)]
    notes = Notes(root / BUILD / "mutants" / f"{name}.jsonl", stamp)
    known = {} if function else notes.read(again)
    if again and not known:
        raise CourseError(f"Of the functions of {name} as they are no run is known here.")
    count = len(known)

    def tell(event, rest):
        nonlocal count
        if event == "reference":
            return report(f"{name}: all cells {rest[0]:.0f} s; {rest[1]} mutants, {count} known")
        count += 1
        number, fault, where, seconds = rest
        if not function:
            notes.add([number, fault, where])
        text = f"noticed, {where}" if where else "SURVIVES"
        report(f"{count} {found[number].name}, {fault}: {text} ({seconds:.0f} s)")

    with tempfile.TemporaryDirectory() as cache:
        job = {"name": name, "root": str(root), "only": function, "jobs": jobs, "cache": cache}
        workers = [Worker(job | {"part": part}, known, tell) for part in range(jobs)]
        with ThreadPoolExecutor(jobs) as pool:
            for future in [pool.submit(worker.run) for worker in workers]:
                future.result()
    for worker in workers:
        known |= worker.results
    results = {(found[n].cell, found[n].name, fault): known[n, fault] for n, fault in sorted(known)}
    outcome = Outcome(found, results, [found[n] for n in workers[0].silent])
    if not function:
        write(name, outcome, root, again)
        notes.finish(known)
    return outcome


class Notes:
    """What a run has found so far, in case that it is stopped, and what the last one found;
    `stamp` tells of which functions and of which cells."""

    def __init__(self, path: Path, stamp: list[str]):
        self.path, self.stamp, self.lock = path, stamp, threading.Lock()

    def read(self, again: bool = False) -> dict[tuple[int, str], str]:
        """What is known of a run that was stopped; with `again`, who was noticed in any."""
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        stamp, *found = map(json.loads, lines or ["[]"])
        if again and stamp[:1] == self.stamp[:1]:
            return {(number, fault): where for number, fault, where in found if where}
        if stamp == self.stamp:
            return {(number, fault): where for number, fault, where in found}
        self.begin()
        return {}

    def begin(self, *more: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps([*self.stamp, *more]) + "\n")

    def finish(self, known: dict[tuple[int, str], str]) -> None:
        """Keep the results of a whole run: not to be taken up, but for `again`."""
        self.begin("whole")
        for (number, fault), where in known.items():
            self.add([number, fault, where])

    def add(self, line: list) -> None:
        with self.lock, self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def record(name: str, root: Path = ROOT) -> Path:
    return root / "tests" / "mutants" / f"{name}.md"


def recorded(path: Path) -> tuple[list[str], dict[tuple[str, ...], str]]:
    """The functions that a record lists, a line a cell; sentences by (cell, function, fault)."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = [x.strip("| ").split(" | ") for x in lines if x.startswith("| `")]
    why = {tuple(part.strip("`") for part in row[:3]): row[3] for row in rows if len(row) == 4}
    return [line[2:] for line in lines if line.startswith("- `")], why


def listed(found: list[Function]) -> list[str]:
    """The functions in one line for each cell, as a record lists them."""
    cells: dict[str, list[str]] = {}
    for function in found:
        cells.setdefault(function.cell, []).append(f"`{function.name}`")
    return [f"`{cell}`: {', '.join(names)}" for cell, names in cells.items()]


def digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def write(name: str, outcome: Outcome, root: Path = ROOT, again: bool = False) -> None:
    """Write the record; a sentence that stands there for a survivor stays."""
    path, lines = record(name, root), listed(outcome.functions)
    _, why = recorded(path)
    versions = ", ".join(f"{package} {version(package)}" for package in ("jax", "numpy"))
    tried, left = len(outcome.results), outcome.survivors
    skipped = [f.skipped for f in outcome.functions if f.skipped]
    reasons = [f"{skipped.count(reason)} ({reason})" for reason in sorted(set(skipped))]
    reasons += [f"{len(outcome.silent)} (returns no floating-point numbers)"] * bool(outcome.silent)
    faults = [key[2] for key in outcome.results]
    text = [
        f"# Mutants of {name}",
        "",
        f"Written by `make mutants ONLY={name}` on {datetime.date.today()}: "
        f"Python {platform.python_version()}, {versions}."
        + " The survivors of an earlier run were tried again; the others are as it found them."
        * again,
        "",
        f"Functions: {len(outcome.functions)} (digest {digest(lines)}); without mutant: "
        f"{', '.join(reasons) or 'none'}.",
        f"Mutants: {tried}; factor (results times 1.001): {faults.count('factor')}, "
        f"detached (results without derivative): {faults.count('detached')}, "
        f"never called: {faults.count(NEVER)}.",
        f"**Survivors: {len(left)}, {100 * len(left) / max(tried, 1):.1f} %.**",
        "",
        *(["| cell | function | mutant | why it survives |", "|---|---|---|---|"] * bool(left)),
        *(
            f"| `{cell}` | `{f}` | {fault} | {why.get((cell, f, fault), '')} |"
            for cell, f, fault in left
        ),
        *[""] * bool(left),
        "Functions of the `define` cells:",
        "",
        *(f"- {line}" for line in lines),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
