"""The grader for a class: what is handed in, what must not happen, what a stop or a lost machine
costs."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import ClassVar

import nbformat
import pytest
import warm
from classroom import attack, filled, gradebook, run_sealed, table
from conftest import answers
from distributed import Client
from hostile import CELLS

from course import sandbox
from course.gradebook import Chapter, Journal
from course.grading import end, only, parse, pristine
from course.grading import verdicts as verdicts_of
from course.nbval_report import IN_FILE
from course.notebooks import ROOT, CourseError, chapters, path_of, read, tags, write
from course.report import file_name, harmless
from course.sealed import looks_inside, sealed
from course.submissions import find

NAME = "01_software2"
FIRST = min(answers(NAME))
CONFINED = not sandbox.unavailable() if sys.platform == "linux" else False


def verdicts(rows, student):
    return [r["verdict"] for r in rows if r["student"] == student]


# Finding and reading
# ------------------------------------------------------------------------------------------------


def test_students_are_found(tmp_path):
    (tmp_path / "Ada Lovelace").mkdir()
    (tmp_path / "Ada Lovelace" / "01 my work.ipynb").write_text("{}")
    for name in (
        "王小明.ipynb",
        f"Bob_{NAME}.ipynb",
        f"{NAME} (1).ipynb",
        "readme.txt",
        ".hidden.ipynb",
        "Eve.IPYNB",
    ):
        (tmp_path / name).write_text("{}")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "only folders" / f"{NAME}.ipynb").mkdir(parents=True)
    (tmp_path / "only text").mkdir()
    (tmp_path / "only text" / "answer.docx").write_text("x")
    (tmp_path / "Mallory").symlink_to("/etc")
    (tmp_path / "thief").mkdir()
    (tmp_path / "thief" / f"{NAME}.ipynb").symlink_to(tmp_path / "王小明.ipynb")
    found = {s.student: s.problem for s in find(tmp_path)}
    assert set(found) == {
        "Ada Lovelace",
        "王小明",
        "Bob",
        "1",
        "Eve",
        "nothing",
        "only folders",
        "only text",
        "Mallory",
        "thief",
    }
    assert (
        "empty" in found["nothing"]
        and "empty" in found["only folders"]
        and "answer.docx" in found["only text"]
        and "link" in found["Mallory"]
        and "link" in found["thief"]
    )


def test_a_zip_stays_packed(tmp_path):
    with zipfile.ZipFile(tmp_path / "hand-in.zip", "w") as archive:
        for name in (
            "hand-in/Ada/a.ipynb",
            "hand-in/王小明/b.ipynb",
            "hand-in/../../evil.ipynb",
            "/tmp/evil2.ipynb",
            "hand-in/back\\slash.ipynb",
            "__MACOSX/hand-in/Ada/._a.ipynb",
            "hand-in/empty/",
        ):
            archive.writestr(name, "{}")
    found = {s.student: s for s in find(tmp_path / "hand-in.zip")}
    assert (
        {"Ada", "王小明", "empty"} <= set(found)
        and found["Ada"].read() == b"{}"
        and not found["Ada"].problem
    )
    assert sum("points out" in s.problem for s in found.values()) == 2
    assert sorted(os.listdir(tmp_path)) == ["hand-in.zip"]
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and nothing")
    with pytest.raises(CourseError, match="not a zip file"):
        find(tmp_path / "broken.zip")


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "gb18030", "shift_jis"]
)
def test_foreign_encodings(encoding):
    text = nbformat.writes(filled(NAME, "right"))
    notebook = parse(text.encode(encoding, "replace"), "x")
    assert [c.get("id") for c in notebook.cells] == [c["id"] for c in filled(NAME, "right").cells]


def test_a_notebook_of_100_mb_full_of_outputs_is_read():
    notebook = filled(NAME, "right")
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="x" * 100 * 2**20)]
    assert parse(nbformat.writes(notebook).encode(), "x").cells[-1].outputs == []
    with pytest.raises(CourseError, match="too large"):
        parse(b"[" + b"1," * 30_000_000 + b"1]", "x")


# Sealing, tables, journal
# -------------------------------------------------------------------------------------------


def test_sealed_checks_print_the_same():
    run_sealed(NAME)  # `make test-grader` does it for every chapter


def test_sealed_checks_use_the_helpers_that_were_given():
    """A solution that stores every step, and tells the check that it needs no memory."""
    name = "03_primitives"
    names, stored = dict(warm.given(name)), answers(name)["3.5"]["wrong"]["stored"]
    for cell in only(
        sealed(read(path_of("solutions", name)), "secret"), ["3.5"], fresh=False
    ).cells:
        if {"setup", "define", "given"} & set(tags(cell)):
            continue
        source = (
            f"{stored}\ntemporary_bytes = lambda *a: 0\n"
            if "solution" in tags(cell)
            else cell.source
        )
        with (
            pytest.raises(AssertionError, match="something is kept")
            if "check" in tags(cell)
            else contextlib.nullcontext()
        ):
            exec(compile(source, "<cell>", "exec"), names)


def test_other_seeds_are_drawn_when_the_solutions_fail():
    class Client:
        drawn: ClassVar[list] = []

        def submit(self, solve, name, notebook, seed, pure):
            return seed

        def gather(self, seeds):
            self.drawn.append(seeds)
            if len(self.drawn) == 1:
                raise CourseError("inputs too delicate for a tolerance")
            return [({}, 1.0) for _ in seeds]

    chapter = Chapter(Client(), NAME)
    assert len(Client.drawn) == 2 and Client.drawn[0] != Client.drawn[1] == chapter.seeds == [
        seed for seed, _ in chapter.given
    ]


def test_no_kept_right_answer_looks_inside():
    for name in chapters("solutions"):
        for kinds in answers(name).values():
            assert not any(map(looks_inside, kinds["right"].values()))
    assert looks_inside(CELLS["frames"])


def test_reasons_are_for_students():
    assert (
        IN_FILE.sub("(", "'(' was never closed (509479999.py, line 3)")
        == "'(' was never closed (line 3)"
    )
    told = verdicts_of(
        pristine(NAME),
        set(),
        set(),
        {FIRST: ("error", "ValueError: None is not a valid value for jnp.array")},
    )
    assert told[0].reason.endswith("(does your function return what its docstring says?)")


def test_names_are_harmless():
    taken = set()
    assert file_name("../../etc/passwd", taken) == "_.._etc_passwd.html"
    assert (
        file_name("A", taken) == "A.html"
        and file_name("a", taken) == "a-2.html"
        and file_name("...", taken) == "student.html"
    )
    assert harmless("=HYPERLINK(1)") == "'=HYPERLINK(1)" and harmless("a\nb") == "a b"


def test_the_journal_survives_a_torn_line(tmp_path):
    (tmp_path / "j").write_text('{"key": ["a", "f", "s", "c"], "rows": []}\n{"key": ["b", ')
    journal = Journal(tmp_path / "j")
    assert list(journal.done) == [("a", "f", "s", "c")]
    with pytest.raises(CourseError, match="Another run"):
        Journal(tmp_path / "j")
    journal.add({"key": ["c", "f", "s", "c"], "rows": []})
    journal.file.close()
    assert len(Journal(tmp_path / "j").done) == 2


def test_bad_input_gets_a_sentence(tmp_path):
    (tmp_path / "class").mkdir()
    for folder, out, words in (
        ("none", "g.csv", "no folder or zip"),
        ("class", "g.csv", "holds no submissions"),
        ("class", "g.txt", "--out"),
        ("class", "class/g.csv", "among the submissions"),
    ):
        done = gradebook(tmp_path / folder, tmp_path / out)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, (
            done.stderr
        )


# A class, graded once: the tests test_class_… run in one process
# ------------------------------------------------------------------------------------------------

SAMPLE = [
    "stored output printed",
    "input transformer, hidden name",
    "edited checks",
    "fork bomb",
    "reading the solutions",
    "killing the parent",
    "detached process",
    "network",
]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A class of odd submissions, graded once."""
    folder = tmp_path_factory.mktemp("class")
    room = folder / "class"

    def put(student, notebook, name=f"{NAME}.ipynb"):
        write(notebook, room / student / name)

    put("right", filled(NAME, "right"))
    put("wrong", filled(NAME, "wrong"))
    put("stub", pristine(NAME))
    put("Ada  Lovelace 王小明", filled(NAME, "right", 1))
    put("renamed", filled(NAME, "right"), "Untitled (3).ipynb")
    put("twice", filled(NAME, "wrong"), "a.ipynb"), put("twice", filled(NAME, "right"), "b.ipynb")
    colab = filled(NAME, "right")
    for k, cell in enumerate(colab.cells):
        cell["id"], cell.metadata = (
            f"{k:08x}",
            nbformat.from_dict({"outputId": "x", "colab": {"base_uri": "y"}}),
        )
    put("colab", colab)
    shell = filled(NAME, "right")
    cell = next(c for c in shell.cells if "solution" in tags(c))
    cell.source = (
        f"%matplotlib inline\n!echo installing\n{cell.source}\nplt.plot([1, 2])\nprint('defined')"
    )
    put("shell", shell)
    again, right, wrong = pristine(NAME), filled(NAME, "right"), filled(NAME, "wrong")
    for old, good, bad in zip(pristine(NAME).cells, right.cells, wrong.cells, strict=True):
        if "solution" in tags(old):
            k = next(k for k, c in enumerate(again.cells) if c["id"] == old["id"])
            again.cells[k].source = bad.source
            again.cells[k + 1 : k + 1] = [
                nbformat.v4.new_code_cell(good.source),
                nbformat.v4.new_code_cell(f"{good.source.splitlines()[0]}\nplt.plot([1, 2])"),
            ]
    put("second attempt", again)
    hang = filled(NAME, "right")
    cell = [c for c in hang.cells if "solution" in tags(c)][1]
    cell.source += "\nimport time\ntime.sleep(1e6)\n"
    put("hanging", hang)
    (
        (room / "old").mkdir(),
        (room / "windows").mkdir(),
        (room / "damaged").mkdir(),
        (room / "foreign").mkdir(),
    )
    (room / "old" / "x.ipynb").write_text(
        nbformat.writes(nbformat.convert(filled(NAME, "right"), 3), version=3)
    )
    text = nbformat.writes(filled(NAME, "right"))
    (room / "windows" / "x.ipynb").write_bytes(
        b"\xef\xbb\xbf" + text.replace("\\n", "\\r\\n").replace("\n", "\r\n").encode()
    )
    (room / "damaged" / "x.ipynb").write_text(text[:500])
    (room / "foreign" / "x.ipynb").write_bytes(path_of("lectures", NAME).read_bytes())
    for label in SAMPLE if CONFINED else SAMPLE[:3]:  # the others attack the machine
        put(f"attack {label}", attack(NAME, label))
    start = time.monotonic()
    done = gradebook(room, folder / "grades.csv")
    print(f"{len(os.listdir(room))} submissions in {time.monotonic() - start:.0f} s")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, table(folder / "grades.csv"), done.stdout


def test_class_of_odd_submissions(graded):
    _, rows, _ = graded
    for student in (
        "right",
        "Ada  Lovelace 王小明",
        "renamed",
        "colab",
        "old",
        "windows",
        "shell",
        "second attempt",
    ):
        assert set(verdicts(rows, student)) == {"passed"}, [
            r for r in rows if r["student"] == student
        ]
    assert set(verdicts(rows, "wrong")) == {"failed"} and set(verdicts(rows, "stub")) == {
        "not attempted"
    }
    assert sorted(set(verdicts(rows, "twice"))) == ["duplicate", "passed"]
    assert verdicts(rows, "hanging").count("time limit") == 1 and set(
        verdicts(rows, "hanging")
    ) == {"time limit", "passed"}
    assert verdicts(rows, "damaged") == verdicts(rows, "foreign") == ["not gradable"]
    assert all(r["reason"] for r in rows if r["verdict"] not in ("passed", "not attempted"))


def test_class_with_attacks_is_unharmed(graded):
    _, rows, told = graded
    for row in rows:
        if row["student"].startswith("attack "):
            assert row["exercise"] != FIRST or (
                row["points"] == "0" and "LEAK" not in row["reason"]
            ), row
    assert subprocess.run(["pgrep", "-f", "sleep 98765"], capture_output=True).returncode == 1
    assert ("sandbox" in told) == CONFINED


def test_class_has_its_tables_and_pages(graded):
    folder, rows, _ = graded
    assert len(json.loads((folder / "grades.json").read_text())) == len(rows)
    summary = (folder / "grades-summary.html").read_text()
    assert "<svg" in summary and "most failed" in summary and "not gradable" in summary
    page = (folder / "grades-feedback" / "wrong.html").read_text()
    assert f"Exercise {FIRST}" in page and "# Exercise" in page and "points, failed" in page
    assert (
        (folder / "grades-nbgrader.csv")
        .read_text()
        .startswith("assignment,duedate,timestamp,student_id")
    )
    assert (folder / "grades-journal.jsonl").stat().st_mode & 0o077 == 0


def test_class_is_not_graded_twice(graded):
    folder, rows, _ = graded
    before = (folder / "grades-journal.jsonl").read_text()
    done = gradebook(folder / "class", folder / "grades.csv")
    assert done.returncode == 0 and table(folder / "grades.csv") == rows
    assert (folder / "grades-journal.jsonl").read_text() == before


# Stops and lost machines
# ----------------------------------------------------------------------------------------------


def lines(path):
    return path.read_text().count("\n") if path.exists() else 0


def until(condition, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def test_killed_in_the_middle_it_goes_on(tmp_path, monkeypatch):
    """Without a sandbox, so that this is seen to work, too."""
    for k in range(3):
        write(filled(NAME, "right", k), tmp_path / "class" / f"{k}.ipynb")
    with tempfile.TemporaryDirectory(prefix="c", ignore_cleanup_errors=True) as scratch:
        monkeypatch.setenv("TMPDIR", scratch), monkeypatch.setenv("COURSE_UNCONFINED", "1")
        command = [
            sys.executable,
            "-m",
            "course",
            "gradebook",
            str(tmp_path / "class"),
            "--out",
            str(tmp_path / "g.csv"),
            "--jobs",
            "1",
        ]
        first = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: lines(tmp_path / "g-journal.jsonl") >= 1 or first.poll() is not None)
        first.kill()
        first.wait()
        kept = (tmp_path / "g-journal.jsonl").read_text()
        done = gradebook(tmp_path / "class", tmp_path / "g.csv")
        until(lambda: not list(Path(scratch).glob("course-*")))  # of the killed run, too
    assert done.returncode == 0 and "3 of 3" in done.stdout and "NOT CONFINED" in done.stdout, (
        done.stdout + done.stderr
    )
    after = (tmp_path / "g-journal.jsonl").read_text()
    assert after.startswith(kept) and after.count("\n") == 3, "something was graded twice or lost"
    assert {r["verdict"] for r in table(tmp_path / "g.csv")} == {"passed"}


def test_two_workers_one_killed(tmp_path):
    for k in range(3):
        write(filled(NAME, "right", k), tmp_path / "class" / f"{k}.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with (
        tempfile.TemporaryDirectory(prefix="c", ignore_cleanup_errors=True) as scratch,
        contextlib.ExitStack() as running,
    ):

        def begin(*command, cwd=tmp_path, stdout=subprocess.DEVNULL):
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=cwd,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                env={**os.environ, "TMPDIR": scratch},
            )
            running.callback(end, process)
            return process

        begin(
            "dask",
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            address.rsplit(":")[-1],
            "--no-dashboard",
        )
        workers = [
            begin("dask", "worker", address, "--nthreads", "1", "--no-dashboard") for _ in range(2)
        ]
        with Client(address, timeout=300) as client:
            client.wait_for_workers(2, timeout=300)
        run = begin(
            "course",
            "gradebook",
            str(tmp_path / "class"),
            "--out",
            str(tmp_path / "g.csv"),
            "--scheduler",
            address,
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        until(lambda: lines(tmp_path / "g-journal.jsonl") >= 1 or run.poll() is not None)
        os.killpg(workers[0].pid, signal.SIGKILL)
        told = run.communicate(timeout=900)[0]
    assert run.returncode == 0 and "3 of 3" in told, told
    assert lines(tmp_path / "g-journal.jsonl") == 3 and {
        r["verdict"] for r in table(tmp_path / "g.csv")
    } == {"passed"}
