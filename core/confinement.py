"""What a process gives up before it meets hostile bytes: network, privileges, files, and more than its share.

Each step is one that Linux lets any process take, or root alone; what this machine does not allow is named and done
without. Threads that are running already would keep what the caller gives up: there may be none.
"""

import ctypes
import math
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

NOBODY: Final = 65534
_SYSTEM: Final = (
    *("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/fonts", "/etc/localtime"),
    *("/dev/null", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
)
_ENGINES: Final = ("PIL", "cv2", "numpy", "onnxruntime", "pillow_heif", "pypdfium2", "pypdfium2_raw", "rapidocr")
_MOST_FILES: Final = 64
_MOST_THREADS: Final = 256
"""Decoders of HEIC and AVIF start one a core."""
_UNWRITTEN: Final = 4 * 1024**3
"""Bytes of addresses beyond the memory that may be written: libraries, models, what allocators set aside."""
_LIFE: Final = 3600
"""Seconds of CPU time, after which the kernel ends the process."""

# linux/prctl.h, linux/sched.h, linux/capability.h
_KEEP_CAPABILITIES: Final = 8
_NO_NEW_PRIVILEGES: Final = 38
_NEW_USER: Final = 0x10000000
_NEW_NETWORK: Final = 0x40000000
_CAPABILITIES_VERSION: Final = 0x20080522
_READ_SEARCH: Final = 1 << 2

# linux/landlock.h; its system calls have the same numbers on every architecture.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_READ_FILE: Final = 1 << 2
_READ_FOLDER: Final = 1 << 3
_BIND_AND_CONNECT: Final = 0b11
_SOCKETS_AND_SIGNALS: Final = 0b11


@dataclass(frozen=True, slots=True)
class Confinement:
    """What holds for a process, in a few words each, and what its machine did not allow, each with the reason."""

    holds: tuple[str, ...]
    lacks: tuple[str, ...]


def confine(memory: int) -> Confinement:
    """Give up, for good: the network; root, for a user who owns nothing; capabilities, and ways to regain them; all
    files but those that the engines are made of, and these for reading; and what exceeds modest limits.

    `memory` is in bytes. Sources: unshare(2), capabilities(7), landlock(7), setrlimit(2).
    """
    holds: list[str] = []
    lacks: list[str] = []

    def attempt(what: str, step: Callable[[], None]) -> bool:
        try:
            step()
        except OSError as error:
            lacks.append(f"{what}: {error.strerror}")
            return False
        holds.append(what)
        return True

    landlock = _landlock_version()
    is_online, kept = True, 0
    if os.geteuid() == 0:
        is_online = not attempt("no network", lambda: _unshare(_NEW_NETWORK))
        if _is_readable_by_nobody():
            attempt(f"user {NOBODY}", lambda: _become_nobody(kept))
        elif landlock:
            # The engines lie where nobody may look: it may look everywhere, and Landlock says where it does.
            kept = _READ_SEARCH
            attempt(f"user {NOBODY}", lambda: _become_nobody(kept))
        else:
            lacks.append(f"user {NOBODY}: it may not read {sys.prefix} and {sys.base_prefix}")
    has_own_users = False
    if not kept:  # in a namespace of users it would be worth nothing outside
        what, network = ("no network", _NEW_NETWORK) if is_online else ("a user namespace", 0)
        has_own_users = attempt(what, lambda: _unshare(_NEW_USER | network))
    attempt("no capabilities" if not kept else "no capability but to read", lambda: _set_capabilities(kept))
    attempt("no new privileges", lambda: _control(_NO_NEW_PRIVILEGES, 1))
    if landlock:
        attempt("no files but the engines'", lambda: _restrict_files(landlock))
    else:
        lacks.append("no files but the engines': this kernel has no Landlock")
    _limit(resource.RLIMIT_DATA, memory)
    _limit(resource.RLIMIT_AS, memory + _UNWRITTEN)
    _limit(resource.RLIMIT_CPU, _LIFE)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _MOST_FILES)
    if has_own_users:  # elsewhere they are counted together with whatever else the user runs
        _limit(resource.RLIMIT_NPROC, _MOST_THREADS)
        holds.append(f"{_MOST_THREADS} threads")
    return Confinement(tuple(holds), tuple(lacks))


def allow_seconds(seconds: float) -> None:
    """Let the process take so much CPU time from now on; then SIGXCPU ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (soft if most == resource.RLIM_INFINITY else min(soft, most), most))


def _limit(kind: int, most: int) -> None:
    _, allowed = resource.getrlimit(kind)
    most = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
    resource.setrlimit(kind, (most, most))


def _is_readable_by_nobody() -> bool:
    """Whether nobody could go on: load what has not been loaded yet."""
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        return all(os.access(path, os.R_OK, effective_ids=True) for path in (os.__file__, __file__, *_engines()))
    finally:
        os.seteuid(0)
        os.setegid(0)


def _engines() -> list[str]:
    found = (find_spec(name) for name in _ENGINES)
    return [spec.origin for spec in found if spec is not None and spec.origin is not None]


def _become_nobody(kept: int) -> None:
    _control(_KEEP_CAPABILITIES, int(kept != 0))
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _of_the_engines() -> set[Path]:
    """Whatever may be opened once the process runs: modules, libraries, models, fonts, what the CPU can do."""
    root = Path(__file__).resolve().parent.parent
    # The root of a checkout holds more than code: configurations, and the data of embedded servers.
    modules = {Path(entry).resolve() for entry in sys.path if entry} - {root} | {root / "core"}
    libraries = {Path(entry) for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry}
    engines = {Path(origin).parent for origin in _engines()}
    return modules | libraries | engines | {Path(sys.prefix), Path(sys.base_prefix)} | set(map(Path, _SYSTEM))


def _restrict_files(version: int) -> None:
    """Also no TCP, and no signals to others, nor sockets of theirs without a file, where Landlock knows of these."""
    actions = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    ruleset = _Ruleset(actions, _BIND_AND_CONNECT, _SOCKETS_AND_SIGNALS)
    size = 8 if version < 4 else 16 if version < 6 else 24
    handle = _call(_CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    try:
        for path in _of_the_engines():
            try:
                place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            try:
                rule = _Rule(_READ_FILE | (_READ_FOLDER if path.is_dir() else 0), place)
                _call(_ADD_RULE, handle, 1, ctypes.byref(rule), 0)
            finally:
                os.close(place)
        _call(_RESTRICT_SELF, handle, 0)
    finally:
        os.close(handle)


def _landlock_version() -> int:
    """0: none."""
    try:
        return _call(_CREATE_RULESET, None, 0, 1)
    except OSError:
        return 0


def _set_capabilities(kept: int) -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)  # effective, permitted, inheritable: low halves, then high
    _checked(_libc().capset(header, sets))


def _control(option: int, value: int) -> None:
    _checked(_libc().prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))))


def _unshare(namespaces: int) -> None:
    _checked(_libc().unshare(namespaces))


def _call(number: int, *arguments: Any) -> int:
    library = _libc()
    library.syscall.restype = ctypes.c_long
    words = (ctypes.c_long(word) if isinstance(word, int) else word for word in arguments)
    return _checked(library.syscall(ctypes.c_long(number), *words))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Rule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("place", ctypes.c_int32))
