"""The warm process: it has imported jax, nbval and the rest once, and forks a copy for each run.

`python -m course.template SOCKET` listens on a Unix socket. A connection asks, in one line of
JSON, for a run of nbval or for a kernel; it lives as long as that does. When the connection
closes, whoever closed it, all that was started for it is ended; when the run ends, a line of JSON
says how. The process holds no secret: what is forked from it has none.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from course import sandbox
from course.notebooks import ROOT, CourseError

WATCH = 0.25  # seconds between two looks at what a submission uses
NBVAL_MEMORY = 4 * 2**30  # bytes of address space for the comparing process, whatever it is sent
SCRUBBED = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "MPLBACKEND": "agg",
    "JAX_PLATFORMS": "cpu",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def serve(path: str) -> None:
    """Import what every run needs, then fork a process for each connection, until standard input
    closes; then remove the folder."""
    import ipykernel.kernelapp, ipywidgets, jax, matplotlib.pyplot, nbval.plugin, numpy, optax, pytest, scipy.linalg  # noqa
    import course.nbval_report  # noqa

    unconfined = sandbox.unavailable()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    print("ready", unconfined, flush=True)
    while True:
        if 0 in select.select([0, server], [], [])[0]:
            psutil.wait_procs(
                psutil.Process().children(), timeout=10
            )  # their connections are closed: they end by themselves
            shutil.rmtree(os.path.dirname(path), ignore_errors=True)
            return
        connection, _ = server.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            server.close()
            handle(connection, not unconfined)
        connection.close()


def handle(connection: socket.socket, confined: bool) -> None:
    """Start what a connection asks for, watch it, and say how it ended. Never returns."""
    with contextlib.suppress(Exception):
        sandbox.adopt_orphans()
        request = json.loads(connection.makefile().readline())
        limits = sandbox.Limits(**request["limits"]) if "limits" in request else None
        if not (child := os.fork()):
            start(request, limits, confined, connection)
        said = {"why": watch(child, connection, limits)}
        with contextlib.suppress(ChildProcessError):
            status = os.waitpid(child, os.WNOHANG)
            said["code"] = os.waitstatus_to_exitcode(status[1]) if status[0] else None
        end_family()
        connection.sendall(json.dumps(said).encode() + b"\n")
    os._exit(0)


def watch(child: int, connection: socket.socket, limits: sandbox.Limits | None) -> str | None:
    """Wait until the child ends or the connection closes; with limits, "memory", "processes" or
    "cpu" says which was passed."""
    handle = os.pidfd_open(child) if hasattr(os, "pidfd_open") else None
    while True:
        ready = select.select([connection, *([handle] if handle else [])], [], [], WATCH)[0]
        if ready:
            return None
        if handle is None and not psutil.pid_exists(child):
            return None
        if limits:
            family = psutil.Process().children(recursive=True)
            seconds = total(family, lambda p: sum(p.cpu_times()[:2]))
            memory = total(family, lambda p: p.memory_info().rss) / 2**20
            if (
                memory > limits.memory
            ):  # forked processes share memory: count it once, which takes longer
                memory = total(family, lambda p: getattr(p.memory_full_info(), "pss", 0)) / 2**20
            for name, used, most in (
                ("memory", memory, limits.memory),
                ("processes", len(family), limits.processes),
                ("cpu", seconds, limits.cpu),
            ):
                if used > most:
                    return name


def total(family: list[psutil.Process], of) -> float:
    """The sum of `of` over the processes that still live."""
    result = 0.0
    for process in family:
        with contextlib.suppress(psutil.Error):
            result += of(process)
    return result


def end_family() -> None:
    """End every process below this one, detached ones too."""
    for _ in range(100):
        if not (family := psutil.Process().children(recursive=True)):
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first: they cannot fork meanwhile
            for process in family:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(number)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def start(
    request: dict, limits: sandbox.Limits | None, confined: bool, connection: socket.socket
) -> None:
    """In the forked process: become nbval or a kernel. Never returns."""
    code = 1
    try:
        sandbox.die_with_parent()
        os.setsid()
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["folder"])
        quiet = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(quiet, number)
        os.closerange(3, 4096)
        if request["run"] == "nbval":
            log = os.open("nbval.log", os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(log, 1), os.dup2(log, 2)
            sandbox.resource.setrlimit(sandbox.resource.RLIMIT_AS, (NBVAL_MEMORY, NBVAL_MEMORY))
            import pytest

            code = int(pytest.main(request["arguments"]))
        else:
            kernel(request, limits, confined)
            code = 0
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def kernel(request: dict, limits: sandbox.Limits, confined: bool) -> None:
    """Be the kernel of one submission, confined where the system offers it."""
    if confined:
        sandbox.confine(request["sockets"], request["cache"], limits, expected_sockets=5)
        sockets, home = sandbox.SOCKETS, sandbox.HOME
    else:
        limits.apply(confined=False)
        sockets = home = request["sockets"]
        os.chdir(home)
    os.environ.update(
        HOME=home,
        TMPDIR="/tmp" if confined else home,
        IPYTHONDIR=f"{home}/.ipython",
        MPLCONFIGDIR=home,
    )
    sys.path[:] = [p for p in sys.path if p and os.path.realpath(p) != os.path.realpath(ROOT)]
    sys.argv = ["kernel"]
    use_cache(sandbox.CACHE if confined else request["cache"])
    connection = Path(home, "connection.json")
    connection.write_text(json.dumps({**request["connection"], "ip": f"{sockets}/k"}))
    from ipykernel.kernelapp import IPKernelApp

    app = IPKernelApp.instance(connection_file=str(connection), log_level="CRITICAL")
    app.initialize([])
    app.start()


def use_cache(folder: str) -> None:
    """Let jax read compiled library functions from `folder`, and write none."""
    import jax

    for name, value in (
        ("compilation_cache_dir", folder),
        ("persistent_cache_min_compile_time_secs", 1e9),
        ("persistent_cache_enable_xla_caches", "none"),
    ):
        jax.config.update(f"jax_{name}", value)


class Template:
    """A running warm process, as those see it who want something forked from it."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True)
        self.socket = f"{self.folder.name}/template"
        handed_on = {
            k: os.environ[k] for k in ("HOME", "PYTHONPATH", "COURSE_UNCONFINED") if k in os.environ
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "course.template", self.socket],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**SCRUBBED, **handed_on},
        )
        said, _, self.unconfined = self.process.stdout.readline().strip().partition(" ")
        if said != "ready":
            raise CourseError(
                "The grader's warm process could not be started; it said the lines above."
            )

    def cache(self, name: str) -> str:
        """The folder of compiled functions for a chapter (see course/gradebook.py)."""
        os.makedirs(folder := f"{self.folder.name}/cache/{name}", exist_ok=True)
        return folder


def ask(path: str, request: dict) -> socket.socket:
    """Send a request to the warm process that listens at `path`; the connection is what was asked
    for."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.sendall(json.dumps(request).encode() + b"\n")
    return connection


def answer(connection: socket.socket, timeout: float | None = None) -> dict | None:
    """What the warm process said at the end of a run; None while it goes on."""
    connection.settimeout(timeout)
    try:
        line = connection.makefile().readline()
        return json.loads(line) if line else {"code": None, "why": None}
    except TimeoutError:
        return None
    except OSError:
        return {"code": None, "why": None}


_shared: dict[str, Template] = {}
_lock = threading.Lock()


def shared() -> Template:
    """The warm process of this process, begun when it is first needed and again if it has died."""
    with _lock:
        if not _shared or _shared["template"].process.poll() is not None:
            _shared["template"] = Template()
        return _shared["template"]


if __name__ == "__main__":
    serve(sys.argv[1])
