"""Judge answers in the running process: the given cells once, then each answer and its checks in a
copy of the names."""

from __future__ import annotations

import contextlib
import functools
import io
import signal

from course.notebooks import BUILD, ROOT, exercise_of, path_of, read, tags

LIMIT = 60  # seconds for one answer


def compile_quickly() -> None:
    """Compile without XLA's costly passes, as what a test compiles it runs once or twice; and keep
    it, so that what did not change since the last run is not compiled again."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_compilation_cache_dir", str(ROOT / BUILD / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def code(name: str, room: str = "solutions"):
    return [cell for cell in read(path_of(room, name)).cells if cell.cell_type == "code"]


@functools.cache
def given(name: str) -> dict:
    """The names of the setup and define cells of solutions/`name`."""
    import matplotlib

    matplotlib.use("agg")
    compile_quickly()
    names: dict = {"__name__": "__main__"}
    for cell in code(name):
        if {"setup", "define", "given"} & set(tags(cell)):
            exec(compile(cell.source, f"<{name}#{cell['id']}>", "exec"), names)
    return names


def out_of_time(*_):
    raise TimeoutError(f"ran for more than {LIMIT} s")


def run(name: str, exercise: str, answer: str) -> str:
    """What the checks of `exercise` print for `answer`, the source of a whole solution cell;
    raises what they raise."""
    names, printed = dict(given(name)), io.StringIO()
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(LIMIT)
    try:
        exec(compile(answer, f"<answer {exercise}>", "exec"), names)
        with contextlib.redirect_stdout(printed):
            for cell in code(name):
                if "check" in tags(cell) and exercise_of(cell) == exercise:
                    exec(compile(cell.source, f"<{name}#{cell['id']}>", "exec"), names)
    finally:
        signal.alarm(0)
        names["plt"].close("all")
    return printed.getvalue()


@functools.cache
def expected(name: str, exercise: str) -> str:
    """What the checks print for the course's own solution, under the COURSE_SEED in force at the
    first call."""
    source = next(
        c.source for c in code(name) if "solution" in tags(c) and exercise_of(c) == exercise
    )
    return run(name, exercise, source)


def accepted(name: str, exercise: str, answer: str) -> tuple[bool, str]:
    """(verdict, reason) as nbval would give it under the COURSE_SEED that the caller has set."""
    want = expected(name, exercise)
    try:
        got = run(name, exercise, answer)
    except Exception as error:  # any exception of an answer is a refusal, and its text the reason
        return False, f"{type(error).__name__}: {error}"
    return got == want, "" if got == want else f"printed {got!r}, expected {want!r}"
