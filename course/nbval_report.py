"""A pytest plugin beside nbval: one line of JSON for each cell, told by its id, with the reason in
plain words.

It also notices at once when a kernel has died, for which nbval alone waits the whole time limit,
ends one that prints without end, and for a class takes confined kernels from the warm process.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
import uuid
from collections import deque
from queue import Empty

import nbval.kernel
import pytest
import zmq
from jupyter_client import BlockingKernelClient
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell

from course import template

ANSI = re.compile(r"\x1b\[[0-9;]*m")
IN_FILE = re.compile(
    r"\((\d+\.py|<[^>]*>), (?=line \d+\))"
)  # what a kernel calls the cell of a syntax error
STUB = re.compile(r"Exercise \d+\.\d+")
PRINTED = 10 * 2**20  # bytes that one notebook may print or display
SAID = {
    "memory": "stopped: it used more memory than the {memory} MiB that are allowed",
    "processes": "stopped: it started more than the {processes} processes that are allowed",
    "cpu": "stopped: it used more than the {cpu} s of processor time that are allowed",
}


class KernelDied(Exception):
    """The kernel of a notebook is gone; the argument says why, as far as it is known."""


class TimedOut(Exception):
    """A cell ran for too long; its kernel has been ended."""


class Flood(Exception):
    """A notebook printed too much; its kernel has been ended."""


class WarmKernel:
    """What nbval needs of a kernel manager, for a confined kernel that the warm process
    (course/template.py) forks."""

    kernel_spec = None

    def __init__(self, folder: str):
        self.sockets = tempfile.mkdtemp(prefix="k", dir=folder)
        os.chmod(
            self.sockets, 0o777
        )  # the kernel may be another user's; the folder above is ours alone
        ports = {
            f"{name}_port": k
            for k, name in enumerate(("shell", "iopub", "stdin", "control", "hb"), start=1)
        }
        self.connection = {
            "transport": "ipc",
            "key": uuid.uuid4().hex,
            "signature_scheme": "hmac-sha256",
            **ports,
        }
        self.asked = json.loads(os.environ["COURSE_KERNEL"])
        self.process = template.ask(
            os.environ["COURSE_TEMPLATE"],
            {
                "run": "kernel",
                "folder": folder,
                "sockets": self.sockets,
                "connection": self.connection,
                **self.asked,
            },
        )
        self.said = None

    def client(self) -> BlockingKernelClient:
        context = zmq.Context()
        context.maxmsgsize = 2 * PRINTED
        client = BlockingKernelClient(context=context)
        client.load_connection_info({**self.connection, "ip": f"{self.sockets}/k"})
        return client

    def is_alive(self) -> bool:
        if self.said is None:
            self.said = template.answer(self.process, 0.001)
        return self.said is None

    def why(self) -> tuple[str, str]:
        """(kind, reason) of the end."""
        kind = (self.said or {}).get("why") or "died"
        return kind, SAID.get(kind, "the kernel stopped while it ran this exercise").format(
            **self.asked["limits"]
        )

    def shutdown_kernel(self, now: bool = True) -> None:
        self.said = self.said or {}
        self.process.close()

    interrupt_kernel = shutdown_kernel


def start_warm(startup_timeout=60, cwd=None, **_):
    """In place of nbval's start_new_kernel."""
    manager = WarmKernel(cwd)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=startup_timeout)
    return manager, client


def take(kernel, message):
    """Count what a notebook prints and displays, and end its kernel when that is too much."""
    size = len(repr(message["content"])) + sum(map(len, message.get("buffers", ())))
    kernel.size = getattr(kernel, "size", 0) + size
    if kernel.size > PRINTED:
        kernel.km.shutdown_kernel(now=True)
        raise Flood
    return message


def get_message(kernel, stream, timeout=None, plain=RunningKernel.get_message):
    """nbval's reading of messages; those that `await_reply` has set aside come first."""
    if stream != "iopub":
        return plain(kernel, stream, timeout)
    aside = kernel.__dict__.setdefault("aside", deque())
    return aside.popleft() if aside else take(kernel, plain(kernel, stream, timeout))


def await_reply(kernel, msg_id, timeout=None):
    """nbval's wait for a reply, in short slices: printed output is taken meanwhile, so that it
    does not pile up, and a dead kernel is seen. At the end of the time the kernel is ended."""
    aside = kernel.__dict__.setdefault("aside", deque())
    end = time.monotonic() + timeout if timeout else float("inf")
    while time.monotonic() < end:
        with contextlib.suppress(Empty):
            while time.monotonic() < end:
                aside.append(take(kernel, kernel.kc.get_iopub_msg(timeout=0)))
        try:
            message = kernel.kc.get_shell_msg(timeout=max(0.01, min(0.1, end - time.monotonic())))
        except Empty:
            if not kernel.is_alive():
                raise KernelDied(*getattr(kernel.km, "why", lambda: ())()) from None
            continue
        if message["parent_header"].get("msg_id") == msg_id:
            if message["content"]["status"] == "aborted":
                raise RuntimeError("Kernel aborted execution request")
            return
    kernel.km.shutdown_kernel(now=True)
    raise TimedOut


def compare_outputs(cell, test, ref, skip_compare=None, plain=IPyNbCell.compare_outputs):
    """nbval's comparison of what the check prints: all its lines, in their order. What a solution
    prints in between or shows, and what is written to stderr, as NumPy's warnings are, is no
    answer."""
    lines = iter(printed(test).splitlines())
    if all(out.get("name") == "stdout" for out in ref) and all(
        line in lines for line in printed(ref).splitlines()
    ):
        return True
    return plain(cell, [out for out in test if out.get("name") != "stderr"], ref, skip_compare)


def pytest_addoption(parser):
    parser.addoption("--course-report", help="file that gets a line of JSON for each notebook cell")


def pytest_configure(config):
    RunningKernel.await_reply, RunningKernel.get_message = await_reply, get_message
    IPyNbCell.compare_outputs = compare_outputs
    if "COURSE_TEMPLATE" in os.environ:
        nbval.kernel.start_new_kernel = start_warm


def pytest_collection_finish(session):
    """The notebooks are read: the expected outputs need not lie about."""
    for item in session.items if "COURSE_TEMPLATE" in os.environ else ():
        with contextlib.suppress(OSError):
            item.path.unlink()


def printed(outputs) -> str:
    """The text that a cell printed."""
    return "".join(out.get("text", "") for out in outputs if out.get("name") == "stdout").strip()


def reason(item, error: BaseException) -> tuple[str, str]:
    """(kind, reason) of a failed cell: timeout, died, memory, processes, cpu, flood, stub, error
    or output."""
    if isinstance(error, (Flood, MemoryError)):
        return "flood", f"stopped: it printed more than {PRINTED // 2**20} MB"
    if isinstance(error, KernelDied) and error.args:
        return error.args
    text = ANSI.sub("", f"{error}\n{getattr(error, 'inner_traceback', None) or ''}")
    if "Timeout" in text and "waiting for output" in text:
        return "flood", "its output did not arrive: did it print too much, or close the connection?"
    if isinstance(error, KernelDied) or "Kernel dead" in text or "Kernel died" in text:
        return "died", "the kernel stopped while it ran this exercise"
    if isinstance(error, TimedOut):
        return (
            "timeout",
            f"stopped after {item.config.option.nbval_cell_timeout:g} s: does a loop never end?",
        )
    if errors := [out for out in item.test_outputs or [] if out.get("output_type") == "error"]:
        name, message = (
            errors[-1]["ename"],
            IN_FILE.sub("(", ANSI.sub("", errors[-1]["evalue"]).strip().split("\n")[0]),
        )
        if name == "NotImplementedError" and STUB.fullmatch(message):
            return "stub", ""
        return (
            "error",
            message if name == "AssertionError" and message else f"{name}: {message}".rstrip(": "),
        )
    got, wanted = printed(item.test_outputs or []), printed(item.cell.get("outputs", []))
    if wanted in got:
        return (
            "output",
            f"your solution prints something into the line {wanted!r} of the check: end what you "
            "print with a new line, or remove the print",
        )
    return "output", f"the check printed {got!r}, and {wanted!r} was expected"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    result = (yield).get_result()
    path = item.config.option.course_report
    if path and hasattr(item, "cell") and call.when == "call":
        try:
            kind, why = reason(item, call.excinfo.value) if call.excinfo else ("passed", "")
        except Exception:  # whatever a kernel may have sent
            kind, why = "error", "the kernel sent messages that make no sense"
        line = {
            "notebook": item.path.stem,
            "cell": item.cell.get("id", ""),
            "kind": kind,
            "reason": why[:2000],
        }
        with open(path, "a", encoding="utf-8") as report:
            report.write(json.dumps(line) + "\n")
    return result
