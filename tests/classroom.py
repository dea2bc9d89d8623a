"""Make classes of submissions and grade them; as a script (`make test-grader`) the whole matrix
and every attack."""

from __future__ import annotations

import contextlib
import copy
import csv
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import warm
from conftest import answers
from hostile import CELLS, NOTEBOOKS

from course.grading import pristine
from course.notebooks import ROOT, chapters, exercise_of, path_of, read, tags, write
from course.sealed import sealed


def filled(name: str, kind: str, k: int = 0):
    """The exercise notebook of a chapter with the k-th kept answer of a kind to each exercise."""
    notebook = copy.deepcopy(pristine(name))
    for cell in notebook.cells:
        if "solution" in tags(cell):
            kept = list(answers(name)[exercise_of(cell)][kind].values())
            cell.source = kept[k % len(kept)]
    return notebook


def attack(name: str, label: str):
    """The solved notebook, but for a wrong answer with an attack as its first exercise."""
    notebook = filled(name, "right")
    cell = next(c for c in notebook.cells if "solution" in tags(c))
    number = exercise_of(cell)
    wrong = next(iter(answers(name)[number]["wrong"].values()))
    stored = next(
        "".join(o.text for o in c.outputs)
        for c in notebook.cells
        if "check" in tags(c) and exercise_of(c) == number
    )
    function = wrong.split("def ")[1].split("(")[0]
    if label in NOTEBOOKS:
        cell.source = wrong
        for c in notebook.cells:
            if exercise_of(c) == number and c.cell_type == "code":
                NOTEBOOKS[label](c, "check" if "check" in tags(c) else "solution")
        return notebook
    source = CELLS[label]
    for word, value in (
        ("STORED", repr(stored)),
        ("ROOT", repr(str(ROOT))),
        ("NAME", function),
        ("PORT", str(listening())),
    ):
        source = source.replace(word, value)
    cell.source = f"{source}\n{wrong}" if label == "%%capture" else f"{wrong}\n{source}\n"
    return notebook


def listening() -> int:
    """The port of a server on this machine, which no submission must reach."""
    if not hasattr(listening, "server"):
        listening.server = socket.create_server(("127.0.0.1", 0))
    return listening.server.getsockname()[1]


def gradebook(
    folder: Path, out: Path, *options: str, timeout: float = 3000
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "course", "gradebook", str(folder), "--out", str(out), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def table(out: Path) -> list[dict]:
    with open(out, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def run_sealed(name: str) -> None:
    """The solutions of a chapter, with sealed checks, print what is stored and leave no name of a
    check behind."""
    names = dict(warm.given(name))
    for cell in sealed(read(path_of("solutions", name)), "secret").cells:
        if cell.cell_type != "code" or {"setup", "define", "given"} & set(tags(cell)):
            continue
        before, printed = set(names), io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(cell.source, "<cell>", "exec"), names)
        if "check" in tags(cell):
            assert printed.getvalue() == "".join(o.text for o in cell.outputs), (
                f"{name}: a sealed check prints something else"
            )
            assert not {"want", "expected", "exact"} & (set(names) - before), (
                f"{name}: a sealed check's names are global"
            )
    names["plt"].close("all")


def matrix(folder: Path, names: list[str]) -> tuple[int, list[str]]:
    """Grade every kept answer of the chapters: how many there were, and what was graded falsely."""
    count, false = 0, []
    for name in names:
        for kind in ("right", "wrong"):
            most = max(len(kinds[kind]) for kinds in answers(name).values())
            for k in range(most):
                write(
                    filled(name, kind, k), folder / "class" / f"{name} {kind} {k}" / f"{name}.ipynb"
                )
    done = gradebook(folder / "class", folder / "matrix.csv")
    print(done.stdout, done.stderr)
    for row in table(folder / "matrix.csv"):
        kind, k = row["student"].split()[1:]
        kept = (
            list(answers(row["chapter"])[row["exercise"]][kind])
            if row["exercise"]
            else [row["verdict"]]
        )
        count += 1
        if (row["verdict"] == "passed") != (kind == "right") or not row["exercise"]:
            false.append(
                f"{row['chapter']} {row['exercise']} {kind} {kept[int(k) % len(kept)]!r}: "
                f"{row['verdict']}, {row['reason']}"
            )
    return count, false


def hostile(folder: Path, name: str, labels: list[str]) -> list[tuple[str, str, str]]:
    """Grade attacks beside honest submissions: (attack, verdict and reason, harm done or "")."""
    for label in labels:
        write(
            attack(name, label), folder / "class" / label.replace("%", "percent ") / f"{name}.ipynb"
        )
    for k in range(3):
        write(filled(name, "right", k), folder / "class" / f"{'amz'[k]} honest" / f"{name}.ipynb")
    before = path_of("solutions", name).read_bytes()
    done = gradebook(folder / "class", folder / "hostile.csv")
    print(done.stdout, done.stderr)
    rows = table(folder / "hostile.csv")
    first = min(answers(name))
    result = []
    for label in labels:
        mine = [r for r in rows if r["student"] == label.replace("%", "percent ")]
        row = next(r for r in mine if r["exercise"] in (first, ""))
        harm = ["got points"] if int(row["points"]) else []
        harm += ["leak"] if "LEAK" in row["reason"] else []
        harm += [
            f"{r['exercise']} of its own notebook: {r['verdict']}"
            for r in mine
            if r["exercise"] not in (first, "") and r["verdict"] != "passed"
        ]
        result.append((label, f"{row['verdict']}: {row['reason']}"[:110], "; ".join(harm)))
    honest = [r for r in rows if "honest" in r["student"]]
    if not honest or any(r["verdict"] != "passed" for r in honest):
        result.append(
            (
                "honest submissions",
                str([r for r in honest if r["verdict"] != "passed"])[:500],
                "refused",
            )
        )
    if path_of("solutions", name).read_bytes() != before or "HARM" in "".join(
        p.read_text() for p in folder.glob("hostile*.*")
    ):
        result.append(("files", "", "changed"))
    if subprocess.run(["pgrep", "-f", "sleep 98765"], capture_output=True).returncode == 0:
        result.append(("detached process", "", "still runs"))
    return result


def main() -> int:
    start, names = time.monotonic(), sys.argv[1:] or chapters("solutions")
    for name in names:
        run_sealed(name)
    with tempfile.TemporaryDirectory() as folder:
        count, false = matrix(Path(folder, "matrix"), names)
        refusals = [f for f in false if " right " in f]
        print(
            f"{count} answers graded: false accepts {len(false) - len(refusals)}, false refusals "
            f"{len(refusals)}",
            *false,
            sep="\n  ",
        )
        Path(folder, "hostile").mkdir()
        attacks = hostile(Path(folder, "hostile"), names[0], [*CELLS, *NOTEBOOKS])
        for label, verdict, harm in attacks:
            print(f"  {label:34} {'HARM: ' + harm + '; ' if harm else ''}{verdict}")
    harmful = sum(bool(harm) for *_, harm in attacks)
    print(
        f"{len(attacks)} attacks: {harmful} with harm.   {time.monotonic() - start:.0f} s, "
        f"{os.cpu_count()} cores"
    )
    return bool(false or harmful)


if __name__ == "__main__":
    sys.exit(main())
