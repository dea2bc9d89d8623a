"""Confine a process that runs a student's code: what it sees, what it may use, and what ends with
it.

On Linux with user namespaces (no privileges, no packages needed) the process gets a world of its
own: a file system with the read-only Python environment and an empty folder, no network, no other
process, no capabilities. Without them only the limits on its resources hold.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

try:
    import resource
except ImportError:  # Windows: a student's own grading needs no limits
    resource = None
import signal
import struct
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from course.notebooks import ROOT

NOBODY = 65533  # who a submission is on the machine when the grader runs as root
USER_NAMESPACE = 0x10000000
NEW_WORLD = (
    0x20000 | 0x20000000 | 0x40000000 | 0x8000000 | 0x4000000
)  # namespaces: mount, pid, net, ipc, uts
BIND, DETACH, PRIVATE = 0x1000 | 0x4000, 2, 0x40000 | 0x4000
READ_ONLY = 0x1 | 0x2  # of mount_setattr: read-only, and no set-user-id programs
SYSTEM = (
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/sbin",
    "/etc/ld.so.cache",
    "/etc/fonts",
    "/etc/localtime",
    "/etc/alternatives",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
HOME, SOCKETS, CACHE = "/work", "/sockets", "/cache"


@dataclass(frozen=True)
class Limits:
    """What one submission may use: MiB of memory, processes and threads, MiB of files, seconds of
    processor time."""

    memory: int = 4096
    processes: int = 128
    disk: int = 256
    cpu: int = 1800

    def apply(self, confined: bool) -> None:
        """Set the limits that the system itself keeps; each process and thread counts."""
        cores, mib = os.cpu_count() or 1, 2**20
        address_space = (self.memory + 1024 + 128 * cores) * mib  # XLA reserves more than it uses
        for kind, most in (
            (resource.RLIMIT_AS, address_space),
            (resource.RLIMIT_CPU, self.cpu),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, self.disk * mib),
            (resource.RLIMIT_NOFILE, 512),
        ):
            with contextlib.suppress(
                ValueError, OSError
            ):  # not every system keeps every limit, or allows so much
                resource.setrlimit(kind, (most, most))
        if confined:  # counted inside the namespace alone
            most = self.processes + 8 * cores
            resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def call(name: str, *arguments) -> int:
    """A function of the C library; OSError if it fails."""
    arguments = [
        a.encode() if isinstance(a, str) else ctypes.c_long(a) if isinstance(a, int) else a
        for a in arguments
    ]
    result = getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def die_with_parent() -> None:
    if sys.platform == "linux":
        call("prctl", 1, signal.SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """Detached processes below this one become its children, so that it finds and ends them."""
    if sys.platform == "linux":
        call("prctl", 36, 1, 0, 0, 0)


def read_only(path: str) -> None:
    """Make a mount, and all below it, read-only (mount_setattr, Linux 5.12)."""
    call("syscall", 442, -100, path, 0x8000, struct.pack("QQQQ", READ_ONLY, 0, 0, 0), 32)


def mount(
    source: str | None,
    target: str,
    kind: str | None = None,
    flags: int = 0,
    options: str | None = None,
) -> None:
    call("mount", source, target, kind, flags, options)


def visible() -> list[str]:
    """The folders and files that a submission sees, read-only: the system's programs and this
    Python's packages."""
    packages = [
        p for p in (sys.prefix, sys.base_prefix, *sys.path) if os.path.isabs(p) and os.path.isdir(p)
    ]
    mine = {*packages, *map(os.path.realpath, packages)}
    hidden = {str(ROOT), os.path.realpath(ROOT), *map(str, ROOT.parents)}
    return sorted({p for p in (*SYSTEM, *DEVICES, *mine) if os.path.exists(p) and p not in hidden})


def build_world(sockets: str, cache: str, limits: Limits) -> None:
    """Enter new namespaces and put the new file system together below /tmp."""
    try:
        call("unshare", NEW_WORLD)  # as root
    except PermissionError:  # as anybody else, or root without its rights, as in a container
        become_user(USER_NAMESPACE | NEW_WORLD)
    mount(None, "/", None, PRIVATE)
    seen = {path: os.open(path, os.O_PATH) for path in visible()}
    seen |= {SOCKETS: os.open(sockets, os.O_PATH), CACHE: os.open(cache, os.O_PATH)}
    mount("tmpfs", "/tmp", "tmpfs", 0, f"size={limits.disk}m,nr_inodes=20000,mode=755")
    os.umask(0)
    for folder, mode in (
        ("/proc", 0o755),
        ("/dev", 0o755),
        ("/etc", 0o755),
        (SOCKETS, 0o755),
        (CACHE, 0o755),
        ("/dev/shm", 0o777),
        ("/tmp", 0o777),
        (HOME, 0o777),
    ):
        os.mkdir(f"/tmp{folder}", mode)
    os.umask(0o022)
    Path("/tmp/etc/passwd").write_text(f"student:x:1000:1000::{HOME}:/bin/sh\n")
    os.symlink("/proc/self/fd", "/tmp/dev/fd")
    with contextlib.suppress(OSError):  # terminals, which `!command` in a notebook wants
        os.mkdir("/tmp/dev/pts", 0o755)
        mount("devpts", "/tmp/dev/pts", "devpts", 0xA, "newinstance,ptmxmode=0666")
        os.symlink("pts/ptmx", "/tmp/dev/ptmx")
    for path in sorted({*seen, str(ROOT)}):  # a folder before what is in it
        target = f"/tmp{path}"
        if path == str(ROOT):
            os.makedirs(target, exist_ok=True) if not os.path.isdir(target) else mount(
                "tmpfs", target, "tmpfs", 0, "size=1m"
            )
            continue
        bind(seen[path], target)
        if path != SOCKETS and not path.startswith("/dev/"):
            read_only(target)


def bind(source: int, target: str) -> None:
    """Show an open file or folder at `target`, and close it."""
    opened = f"/proc/self/fd/{source}"
    if os.path.isdir(opened):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "x").close()
    mount(opened, target, None, BIND)
    os.close(source)


def become_user(new: int) -> None:
    """Enter namespaces as an ordinary user, who is number 1000 there."""
    uid, gid = os.getuid(), os.getgid()
    call("unshare", new)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"1000 {uid} 1"),
        ("gid_map", f"1000 {gid} 1"),
    ):
        Path("/proc/self", name).write_text(text)


def enter_world() -> None:
    """As its first process: leave the old file system behind."""
    mount("proc", "/tmp/proc", "proc", 0xE)
    os.chdir("/tmp")
    call("syscall", 155 if os.uname().machine == "x86_64" else 41, b".", b".")  # pivot_root
    call("umount2", ".", DETACH)
    os.chdir(HOME)


def give_up_rights() -> None:
    """No privileged user, no capability, and none to be had by any program or in further
    namespaces."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        call("prctl", 4, 1, 0, 0, 0)  # dumpable, or /proc/self/uid_map cannot be written
        become_user(USER_NAMESPACE)
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    call("prctl", 38, 1, 0, 0, 0)
    call("capset", struct.pack("Ii", 0x20080522, 0), bytes(24))


def look_after(child: int, sockets: int) -> None:
    """As the first process of the world: wait for `child`, then end, and everything with it."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG if sockets else 0)
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
        if sockets and len(os.listdir(SOCKETS)) >= sockets:
            read_only(SOCKETS)  # the kernel has its sockets; nothing else may be left there
            sockets = 0
        if pid == 0:
            time.sleep(0.01)


def confine(sockets: str, cache: str, limits: Limits, expected_sockets: int) -> None:
    """Fork twice into a new world and return in its second process; the calling process waits and
    ends as that one does."""
    build_world(sockets, cache, limits)
    if first := os.fork():
        os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) & 0xFF)
    die_with_parent()
    enter_world()
    if second := os.fork():
        look_after(second, expected_sockets)
    os.setsid()
    give_up_rights()
    limits.apply(confined=True)


def unavailable() -> str:
    """Why this machine cannot confine a process ("" if it can), found out by trying."""
    if "COURSE_UNCONFINED" in os.environ:
        return "COURSE_UNCONFINED is set"
    if sys.platform != "linux":
        return f"{sys.platform} has no user namespaces"
    read, write = os.pipe()
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        if not (child := os.fork()):
            try:
                os.close(read)
                confine(folder, folder, Limits(), expected_sockets=0)
                os._exit(0)
            except OSError as error:
                os.write(
                    write,
                    f"this system refuses namespaces to a program ({error.strerror})".encode(),
                )
            finally:
                os._exit(1)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            why = pipe.read().decode()
        status = os.waitpid(child, 0)[1]
    return why or ("" if status == 0 else "the namespaces could not be set up")
