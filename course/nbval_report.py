"""A pytest plugin beside nbval: one line of JSON for each cell, told by its id, with the reason in plain words.

It also notices at once when a kernel has died, for which nbval alone waits the whole time limit.
"""

from __future__ import annotations

import json
import re
import time
from queue import Empty

import pytest
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell

ANSI = re.compile(r"\x1b\[[0-9;]*m")
STUB = re.compile(r"Exercise \d+\.\d+")


class KernelDied(Exception):
    """The kernel of a notebook is gone."""


def await_reply(kernel, msg_id, timeout=None, plain=RunningKernel.await_reply):
    """nbval's wait for a reply, in slices of a second, so that a dead kernel is seen."""
    end = time.monotonic() + timeout if timeout else float("inf")
    while True:
        try:
            return plain(kernel, msg_id, timeout=max(0.01, min(1.0, end - time.monotonic())))
        except Empty:
            if not kernel.is_alive():
                raise KernelDied from None
            if time.monotonic() >= end:
                raise


def compare_outputs(cell, test, ref, skip_compare=None, plain=IPyNbCell.compare_outputs):
    """nbval's comparison without what was written to stderr: a warning of NumPy's is no answer."""
    return plain(cell, [out for out in test if out.get("name") != "stderr"], ref, skip_compare)


def pytest_addoption(parser):
    parser.addoption("--course-report", help="file that gets a line of JSON for each notebook cell")


def pytest_configure(config):
    RunningKernel.await_reply = await_reply
    IPyNbCell.compare_outputs = compare_outputs


def printed(outputs) -> str:
    """The text that a cell printed."""
    return "".join(out.get("text", "") for out in outputs if out.get("name") == "stdout").strip()


def reason(item, error: BaseException) -> tuple[str, str]:
    """(kind, reason) of a failed cell, where kind is timeout, died, stub, error or output."""
    text = ANSI.sub("", f"{error}\n{getattr(error, 'inner_traceback', None) or ''}")
    if isinstance(error, KernelDied) or "Kernel dead" in text or "Kernel died" in text:
        return "died", "the kernel stopped while it ran this exercise"
    if item.parent.timed_out:
        return "timeout", f"stopped after {item.config.option.nbval_cell_timeout:g} s: does a loop never end?"
    if errors := [out for out in item.test_outputs or [] if out.get("output_type") == "error"]:
        name, message = errors[-1]["ename"], ANSI.sub("", errors[-1]["evalue"]).strip().split("\n")[0]
        if name == "NotImplementedError" and STUB.fullmatch(message):
            return "stub", ""
        return "error", message if name == "AssertionError" and message else f"{name}: {message}".rstrip(": ")
    got, wanted = printed(item.test_outputs or []), printed(item.cell.get("outputs", []))
    if got == wanted:
        return "output", "the check's output is of another kind than expected: does your solution show a picture or an object?"
    if wanted in got:
        return "output", "your solution prints something of its own: remove the print and grade again"
    return "output", f"the check printed {got!r}, and {wanted!r} was expected"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    result = (yield).get_result()
    path = item.config.option.course_report
    if path and hasattr(item, "cell") and call.when == "call":
        kind, why = reason(item, call.excinfo.value) if call.excinfo else ("passed", "")
        line = {"notebook": item.path.stem, "cell": item.cell.get("id", ""), "kind": kind, "reason": why}
        with open(path, "a", encoding="utf-8") as report:
            report.write(json.dumps(line) + "\n")
    return result
