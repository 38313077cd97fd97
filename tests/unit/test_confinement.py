"""What a confined process may still do, tried by itself; how a reading process stands there, seen from outside."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from printed import RECEIPT, file_of, pdf, picture

from core.confinement import NOBODY
from core.documents import Document
from core.reading import Reader
from core.settings import Documents, Reading

PROJECT = Path(__file__).resolve().parent.parent.parent
MEMORY = 2 * 1024**3
TRIALS = """
import dataclasses, json, os, resource, signal, socket, sys, threading

sys.path.insert(0, sys.argv[1])
from core.confinement import allow_seconds, confine

parent, port, secret, memory = os.getppid(), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
done = {"confinement": dataclasses.asdict(confine(memory))}


def attempt(name, step):
    try:
        step()
        done[name] = None
    except (OSError, MemoryError, RuntimeError, ValueError) as error:
        done[name] = type(error).__name__


def fill(path):
    with open(path, "wb", buffering=0) as file:
        file.write(b"x")


def open_many():
    held = []
    try:
        for _ in range(100):
            held.append(os.dup(1))
    finally:
        for handle in held:
            os.close(handle)


def start_many():
    threading.stack_size(256 * 1024)
    stop, started = threading.Event(), []
    try:
        for _ in range(400):
            thread = threading.Thread(target=stop.wait)
            thread.start()
            started.append(thread)
    finally:
        stop.set()
        for thread in started:
            thread.join()


attempt("connect", lambda: socket.create_connection(("127.0.0.1", port), 2))
attempt("send", lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)))
attempt("resolve", lambda: socket.getaddrinfo("localhost.localdomain.example", 80))
attempt("read a module", lambda: open(os.__file__).close())
attempt("read a secret", lambda: open(secret).close())
attempt("read the parent's environment", lambda: open(f"/proc/{parent}/environ", "rb").read())
attempt("write", lambda: fill(os.path.join(os.path.dirname(secret), "written")))
attempt("execute", lambda: os.execv(sys.executable, [sys.executable, "-c", "0"]))
attempt("become root", lambda: os.setresuid(0, 0, 0))
attempt("raise a limit", lambda: resource.setrlimit(resource.RLIMIT_DATA, (2 * memory, 2 * memory)))
attempt("signal the parent", lambda: os.kill(parent, 0))
attempt("take memory", lambda: bytearray(memory + 1))
attempt("start many", start_many)
attempt("open many", open_many)
allow_seconds(7)
done["seconds"] = resource.getrlimit(resource.RLIMIT_CPU)
print(json.dumps(done), flush=True)
"""


def tried(python: str, port: int, secret: Path, **options: Any) -> dict[str, Any]:
    """What came of each trial: None where it succeeded, else what was raised."""
    ended = subprocess.run(
        [python, "-c", TRIALS, str(PROJECT), str(port), str(secret), str(MEMORY)],
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
        **options,
    )
    done: dict[str, Any] = json.loads(ended.stdout)
    return done


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text("database: {url: 'postgresql://me:hunter2@host/db'}")
    return path


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _starts() -> Iterator[Any]:
    yield pytest.param(sys.executable, {}, id="as the tests run")
    system = shutil.which("python3", path="/usr/bin")
    if os.geteuid() == 0 and system is not None:
        yield pytest.param(system, {}, id="as root, from where everybody may read")
        yield pytest.param(system, {"user": NOBODY, "group": NOBODY, "extra_groups": []}, id="as nobody")


@pytest.mark.parametrize(("python", "options"), list(_starts()))
def test_a_confined_process_reaches_nothing_but_the_engines(
    python: str, options: dict[str, Any], port: int, secret: Path
) -> None:
    done = tried(python, port, secret, **options)
    holds = done.pop("confinement")["holds"]
    assert "no new privileges" in holds
    expected: dict[str, str | None] = {"read a module": None, "raise a limit": "ValueError"}
    expected |= {"take memory": "MemoryError", "open many": "OSError"}
    if "256 threads" in holds:
        expected["start many"] = "RuntimeError"
    if "no network" in holds:
        expected |= {"send": "OSError", "resolve": "gaierror"}
    if "no files but the engines'" in holds:
        expected |= dict.fromkeys(("read a secret", "write", "execute"), "PermissionError")
        expected |= dict.fromkeys(("read the parent's environment", "signal the parent"), "PermissionError")
    assert {name: done[name] for name in expected} == expected
    assert done["connect"] is not None
    assert done["become root"] is not None
    assert not secret.with_name("written").exists() or not secret.with_name("written").read_bytes()


def test_a_confined_process_may_not_spin_for_ever() -> None:
    spin = "from core.confinement import *; confine(2**30); allow_seconds(1)\nwhile True: pass"
    ended = subprocess.run([sys.executable, "-c", spin], cwd=PROJECT, timeout=60, check=False)
    assert ended.returncode == -signal.SIGXCPU


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DOCINTAKE_DATABASE__URL", "postgresql://me:hunter2@host/db")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
        reader = Reader(Reading(processes=1, memory=MEMORY), Documents())
    for content in (file_of(picture()), pdf(RECEIPT)):  # it has all its engines, and does its work with them
        assert "BAKERY" in reader.read(Document.of(content), "first").pages[0].text.upper()
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def process(reader: Reader) -> Path:
    """What the kernel says of a reading process: its folder in /proc."""
    assert reader.confinement is not None
    # The newest: other tests may have left theirs to be collected.
    children = [each for each in psutil.Process().children() if "core.reading_process" in each.cmdline()]
    return Path(f"/proc/{max(children, key=psutil.Process.create_time).pid}")


def test_a_reading_process_says_what_holds_for_it(reader: Reader) -> None:
    assert reader.confinement is not None
    assert "no new privileges" in reader.confinement.holds
    assert not any("hunter2" in what for what in reader.confinement.holds + reader.confinement.lacks)


def test_every_limit_of_a_reading_process_is_set_and_cannot_be_raised(process: Path) -> None:
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (process / "limits").read_text().splitlines()}
    assert limits["Max data size"] == [str(MEMORY)] * 2
    assert limits["Max address space"] == [str(MEMORY + 4 * 1024**3)] * 2
    assert limits["Max file size"] == limits["Max core file size"] == ["0", "0"]
    assert limits["Max open files"] == ["64", "64"]
    seconds, life = map(int, limits["Max cpu time"])
    assert 2 * Reading().timeout < seconds <= 2 * Reading().timeout + 60 < life == 3600


def test_a_reading_process_has_few_threads_where_they_can_be_counted(process: Path, reader: Reader) -> None:
    assert reader.confinement is not None
    limits = (process / "limits").read_text()
    is_limited = any(line.split()[2:4] == ["256", "256"] for line in limits.splitlines() if "processes" in line)
    assert is_limited is ("256 threads" in reader.confinement.holds)


def test_a_reading_process_is_nobody_and_can_become_nobody_else(process: Path, reader: Reader) -> None:
    said = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    assert said["NoNewPrivs"] == "1"
    assert reader.confinement is not None
    if os.geteuid() == 0 and f"user {NOBODY}" in reader.confinement.holds:
        assert set(said["Uid"].split() + said["Gid"].split()) == {str(NOBODY)}
        assert not said["Groups"].split()
    kept = 1 << 2 if "no capability but to read" in reader.confinement.holds else 0
    for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        assert int(said[kind], 16) in (0, kept), kind


def test_every_thread_of_a_reading_process_is_confined(process: Path) -> None:
    threads = list((process / "task").iterdir())
    assert len(threads) > 1
    for thread in threads:
        status = (thread / "status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "CapBnd" in status
        assert (thread / "ns/net").readlink() == (process / "ns/net").readlink()


def test_a_reading_process_sees_no_network_but_its_own(process: Path, reader: Reader) -> None:
    assert reader.confinement is not None
    if "no network" not in reader.confinement.holds:
        pytest.skip(f"this machine does not allow it: {reader.confinement.lacks}")
    assert (process / "ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    interfaces = (process / "net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] in ([], ["lo"])


def test_a_reading_process_knows_no_credentials(process: Path) -> None:
    environment = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
    assert b"OMP_NUM_THREADS=1" in environment
    assert b"hunter2" not in environment
    assert b"DOCINTAKE" not in environment


def test_a_reading_process_holds_no_file_of_its_parents(process: Path) -> None:
    held = [str(each.readlink()) for each in (process / "fd").iterdir()]
    assert len(held) < 12
    assert not [
        name for name in held if not name.startswith(("/dev/null", "socket:", "pipe:", "/dev/pts/", "anon_inode:"))
    ]
