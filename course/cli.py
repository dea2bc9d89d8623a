"""`python -m course VERB`: the tools of the course."""

from __future__ import annotations

import contextlib
import functools
import http.server
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from course.notebooks import ONLY, ROOT, CourseError, book_folder, chapters

console = Console()


def plainly(verb):
    """Turn a CourseError into one sentence and exit code 2."""

    @functools.wraps(verb)
    def wrapped(*args, **kwargs):
        try:
            return verb(*args, **kwargs)
        except CourseError as error:
            Console(stderr=True).print(
                str(error), style="red", markup=False, highlight=False, soft_wrap=True
            )
            sys.exit(2)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main():
    """The tools of the course *Two Lessons from Deep Learning*."""


@main.command()
@click.argument("names", nargs=-1, metavar="[NN_subject]…")
@click.option("--check", is_flag=True, help="Change nothing; fail if something would change.")
@plainly
def sync(names, check):
    """Make anew what is derived: exercises from solutions, given cells from lectures, the setup
    cell, the repository's address. With names, only these chapters."""
    from course.sync import sync as run

    changed = run(check=check, only=names)
    for path in changed:
        console.print(
            f"{'differs' if check else 'written'}: {path.relative_to(ROOT)}", markup=False
        )
    if check and changed:
        raise CourseError(
            "Some files are not what `make sync` would write: run it and commit the result."
        )


@main.command()
@click.argument("notebooks", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--timeout",
    default=60,
    type=click.IntRange(1, 3600),
    show_default=True,
    help="Seconds that one cell may run.",
)
@plainly
def grade(notebooks, timeout):
    """Grade exercise NOTEBOOKS (all of exercises/ if none is named). Exit code: 0 all passed, 1
    not all, 2 no verdict."""
    from course.grading import grade as run

    notebooks = notebooks or [
        ROOT / "exercises" / f"{name}.ipynb" for name in chapters("exercises")
    ]
    failed = unusable = False
    for path in notebooks:
        try:
            with console.status(f"grading {path.name} …"):
                verdicts = run(path, timeout)
        except CourseError as error:
            console.print(str(error), style="red", markup=False, highlight=False)
            unusable = True
            continue
        show(path, verdicts)
        failed |= any(v.verdict != "passed" for v in verdicts)
    sys.exit(2 if unusable else 1 if failed else 0)


def show(path, verdicts):
    """The table a student sees."""
    table = Table(title=str(path), title_justify="left", title_style="bold")
    table.add_column("exercise"), table.add_column("points", justify="right")
    table.add_column("verdict"), table.add_column("reason", overflow="fold")
    colour = {"passed": "green", "not attempted": "yellow"}
    for v in verdicts:
        style = colour.get(v.verdict, "red")
        reason = v.reason.replace("[", r"\[")
        table.add_row(
            f"{v.exercise} {v.name}", f"{v.points}/{v.possible}", f"[{style}]{v.verdict}[/]", reason
        )
    console.print(table)
    console.print(
        f"{sum(v.points for v in verdicts)} of {sum(v.possible for v in verdicts)} points\n"
    )


@main.command()
@click.argument("submissions", type=click.Path(path_type=Path))
@click.option(
    "--out",
    default="grades.csv",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The table to write; feedback pages, summary and journal go beside it.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    help="Submissions graded at the same time (default: one for each core).",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Grade on the Dask cluster with this scheduler, e.g. tcp://host:8786.",
)
@click.option(
    "--cell-limit",
    type=click.FloatRange(1),
    help="Seconds that one cell may run (default: twice what the whole "
    "solution notebook takes, from 20 to 60).",
)
@click.option(
    "--memory",
    default=4096,
    show_default=True,
    type=click.IntRange(512),
    help="MiB that a submission may use.",
)
@click.option(
    "--deadline", type=click.DateTime(), help="Mark as late what was last changed after this time."
)
@plainly
def gradebook(submissions, out, jobs, scheduler, cell_limit, memory, deadline):
    """Grade a class: SUBMISSIONS is a folder or zip file with a folder or a notebook for each
    student.

    Stop it with Ctrl-C; the same command goes on where it was. To grade everything anew, remove
    the journal.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from course.gradebook import grade_class
    from course.sandbox import Limits

    if out.suffix != ".csv":
        raise CourseError(f"--out names the table to write, for example grades.csv, not {out}.")
    with Progress(
        TextColumn("grading"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bar:
        task = bar.add_task("grading", total=None)
        try:
            facts = grade_class(
                submissions,
                out,
                jobs,
                scheduler,
                cell_limit,
                Limits(memory=memory),
                deadline and deadline.timestamp(),
                lambda done, total: bar.update(task, completed=done, total=total),
            )
        except KeyboardInterrupt:
            bar.stop()
            raise CourseError(
                f"Stopped. What is graded is kept in {out}; the same command goes on."
            ) from None
    console.print(facts["told"], facts["sandbox"], markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"Written: {out}, {out.stem}.json, {out.stem}-nbgrader.csv, {out.stem}-summary.html, "
        f"{out.stem}-feedback/",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    sys.exit(1 if facts["failed"] else 0)


@main.command()
@click.argument("name", metavar="NN_subject")
@plainly
def new(name):
    """Begin chapter NN_subject: a lecture, exercises and tests that already pass every check."""
    from course.new import create

    for path in create(name):
        console.print(f"written: {path.relative_to(ROOT)}", markup=False)
    console.print(
        f"Next: write lectures/{name}.ipynb and solutions/{name}.ipynb, then `make sync` and "
        "`make test`.",
        soft_wrap=True,
    )


@main.command()
@plainly
def scorecard():
    """Print the scorecards of all executed chapters as one page (the book includes it)."""
    from course.pages import scorecard_page

    click.echo(scorecard_page())


def tell(text):
    """A line of a verb that takes long."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


@main.command()
@click.option("--jobs", type=int, help="Notebooks run at the same time (default: one a core).")
@plainly
def execute(jobs):
    """Run every notebook that has changed since it was last run (ONLY=NN_subject: that
    chapter's)."""
    from course.book import execute as run

    tell(run(tell, jobs=jobs, only=ONLY))


@main.command()
@click.option("--check", is_flag=True, help="Fail if something costs more than it may.")
@plainly
def times(check):
    """Print how long everything took when it was last run, and what the whole course would cost."""
    from course.times import overruns, tables

    for part in tables(ONLY):
        console.print(part, highlight=False)
    if (told := overruns(ONLY)) and check:
        raise CourseError("Over the budget (course/budget.py):\n" + "\n".join(told))


@main.command()
@plainly
def book():
    """Run what has changed, then build the book, with warnings as errors (ONLY=NN_subject: that
    chapter's pages)."""
    from course.book import build

    html = build(tell, only=ONLY)
    tell(f"The book is ready: open {(html / 'index.html').as_uri()} or run `make serve`.")


@main.command()
@click.argument("name", metavar="NN_subject")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1))
@click.option("--function", metavar="NAME", help="Mutate this function alone; record nothing.")
@click.option("--again", is_flag=True, help="Try the survivors of the last run here once more.")
@plainly
def mutants(name, jobs, function, again):
    """Make each function of a chapter slightly wrong: which cell notices? Writes tests/mutants/."""
    from course.mutants import run

    run(name, report=tell, jobs=jobs, function=function, again=again)


@main.command()
@click.option("--port", default=8000, show_default=True)
@plainly
def serve(port):
    """Show the built book at http://localhost:PORT."""
    html = book_folder(ONLY)
    if not (html / "index.html").is_file():
        raise CourseError("There is no book yet: run `make book` first.")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=html)
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OverflowError:
        raise CourseError(f"{port} is not a port: choose a number from 1024 to 65535.") from None
    except OSError:
        raise CourseError(
            f"Port {port} is in use: choose another, `make serve PORT={port + 1}`."
        ) from None
    console.print(f"The book is at http://localhost:{port} (stop with Ctrl-C).", highlight=False)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
