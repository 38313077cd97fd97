"""Real child processes: kept up, and gone without a trace."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from core.errors import TransientFailure
from worker.launch import Launcher, Service

DUTIFUL = "trap 'exit 0' TERM; echo $$ >> pids; touch ready; while :; do sleep 0.05; done"
DEAF = "trap '' TERM; echo $$ >> pids; touch ready; while :; do sleep 0.05; done"
WITH_CHILD = "trap 'exit 0' TERM; sh -c 'echo $$ >> pids; exec sleep 600' & touch ready; wait"
MORTAL = "echo $$ >> pids; touch ready"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def service(script: str, environment: dict[str, str] | None = None) -> Service:
    return Service("node", ["sh", "-c", script], environment or {}, ready_file=Path("ready").absolute())


def pids() -> list[int]:
    file = Path("pids")
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def watch_until(launcher: Launcher, true: Callable[[], bool]) -> None:
    def checked() -> bool:
        launcher.check()
        return true()

    wait_until(checked)


def test_a_service_is_ready_once_it_says_so_and_gone_once_stopped() -> None:
    said: list[str] = []
    Path("ready").touch()  # left by an earlier run; counts for nothing
    with Launcher([service(f"sleep 0.3; touch really; {DUTIFUL}")], said.append):
        assert Path("really").exists()
        (pid,) = pids()
        assert lives(pid)
    assert not psutil.pid_exists(pid)
    assert said == ["node is ready"]


def test_a_service_sees_its_environment_and_its_output_goes_to_its_log() -> None:
    command = ["sh", "-c", 'echo "$GREETING"; exec sleep 600']
    with Launcher([Service("node", command, {"GREETING": "hello"}, log=Path("log"))], print):
        wait_until(lambda: Path("log").read_text() == "hello\n")


def test_a_service_that_dies_is_started_again_later_each_time() -> None:
    said: list[str] = []
    with Launcher([service(DUTIFUL)], said.append, first_delay=0.05) as launcher:
        for deaths in (1, 2, 3):
            os.kill(pids()[-1], signal.SIGKILL)
            watch_until(launcher, lambda deaths=deaths: len(pids()) == deaths + 1)  # type: ignore[misc] # bound early
        watch_until(launcher, lambda: said[-1] == "node is ready")
    assert [line.rpartition("in ")[2] for line in said if "SIGKILL" in line] == ["0.05 s", "0.1 s", "0.2 s"]
    assert not any(lives(pid) for pid in pids())


def test_a_service_that_lived_long_enough_is_forgiven() -> None:
    said: list[str] = []
    with Launcher([service(DUTIFUL)], said.append, first_delay=0.05, steady_after=0) as launcher:
        for deaths in (1, 2, 3):
            os.kill(pids()[-1], signal.SIGKILL)
            watch_until(launcher, lambda deaths=deaths: len(pids()) == deaths + 1)  # type: ignore[misc] # bound early
    assert [line.rpartition("in ")[2] for line in said if "SIGKILL" in line] == ["0.05 s"] * 3


def test_a_service_that_ends_while_starting_fails_the_start_and_the_others_are_stopped() -> None:
    services = [service(DUTIFUL), Service("other", ["sh", "-c", "sleep 0.5; exit 7"], ready_file=Path("never"))]
    with pytest.raises(TransientFailure, match="other ended with exit status 7"), Launcher(services, print):
        pass
    assert len(pids()) == 1
    assert not lives(pids()[0])


def test_a_service_that_is_never_ready_fails_the_start() -> None:
    never = Service("node", ["sh", "-c", "echo $$ >> pids; exec sleep 600"], ready_file=Path("never"))
    with pytest.raises(TransientFailure, match="node is not ready after 1 s"), Launcher([never], print, patience=1):
        pass
    assert not lives(pids()[0])


def test_a_service_that_ignores_the_request_to_stop_is_killed_after_the_grace() -> None:
    said: list[str] = []
    with Launcher([service(DEAF)], said.append, grace=0.5):
        (pid,) = pids()
        asked = time.monotonic()
    assert time.monotonic() - asked >= 0.5
    assert not psutil.pid_exists(pid)
    assert said[-1] == "node did not stop in time and is killed"


def test_what_a_service_started_itself_goes_with_it() -> None:
    with Launcher([service(WITH_CHILD)], print):
        wait_until(lambda: len(pids()) == 1)
        assert lives(pids()[0])
    wait_until(lambda: not lives(pids()[0]))


def test_what_a_dead_service_had_started_is_gone_before_it_is_started_again() -> None:
    orphaning = "sh -c 'echo $$ >> pids; exec sleep 600' & sleep 0.3; touch ready; sleep 0.3; exit 1"
    with Launcher([service(orphaning)], print, first_delay=0.05) as launcher:
        watch_until(launcher, lambda: len(pids()) == 2)
        assert not lives(pids()[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_parent_stops_the_children(number: signal.Signals) -> None:
    parent = launch_in_a_process_of_its_own(DUTIFUL)
    parent.send_signal(number)
    assert parent.wait(timeout=30) == 0
    assert len(pids()) == 1
    assert not lives(pids()[0])


def test_a_second_signal_does_not_wait_for_the_grace() -> None:
    parent = launch_in_a_process_of_its_own(DEAF)
    parent.terminate()
    time.sleep(0.5)
    assert parent.poll() is None
    assert lives(pids()[0])
    parent.terminate()
    assert parent.wait(timeout=30) == 0
    assert not lives(pids()[0])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no parent-death signal")
def test_the_children_of_a_parent_that_was_killed_stop_by_themselves() -> None:
    parent = launch_in_a_process_of_its_own(DUTIFUL)
    parent.kill()
    parent.wait()
    wait_until(lambda: not lives(pids()[0]))


def launch_in_a_process_of_its_own(script: str) -> "subprocess.Popen[bytes]":
    program = (
        "import sys; from contextlib import suppress; from pathlib import Path\n"
        "from worker.launch import Launcher, Service\n"
        "service = Service('node', ['sh', '-c', sys.argv[1]], ready_file=Path('ready'))\n"
        "with Launcher([service], print, grace=600) as launcher, suppress(KeyboardInterrupt):\n"
        "    Path('launched').touch()\n"
        "    launcher.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, script])
    wait_until(lambda: Path("launched").exists())
    return parent
