"""Child processes that are to stay up: started, watched, started again when they die, and stopped without a trace."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final, Self

from core.errors import TransientFailure

_TICK: Final = 0.1
"""Seconds between looks at the children."""
_LONGEST_DELAY: Final = 60.0
"""Seconds; a child that keeps dying is started again at least this often."""
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal that a process gets when its parent dies."""


@dataclass(frozen=True)
class Service:
    """A command to keep running.

    `environment` is added to this process's own. It is ready once it has made `ready_file`, where one is named, and
    else as soon as it runs. Its output goes to `log`, appended, or to this process's own output.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_file: Path | None = None
    log: Path | None = None


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Within the block, SIGTERM and SIGHUP raise KeyboardInterrupt as ctrl-C does, so that everything is cleaned up.

    So does SIGINT where it was to be ignored, as a shell has it for what runs in the background. For the main thread.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Launcher:
    """Runs services as children: entering it starts them and waits until they are ready, leaving it stops them.

    A child that dies is started again: after `first_delay` seconds, then twice as long each time, and anew from
    there once it has lived for `steady_after` seconds. Stopping sends SIGTERM to each child and waits up to `grace`
    seconds; then, or at a second interrupt, what is left of them and of their own children is killed. On Linux they
    get SIGTERM too when this process is killed. For the main thread: they are bound to the one that starts them.
    """

    def __init__(
        self,
        services: Sequence[Service],
        say: Callable[[str], None],
        *,
        patience: float = 120,
        grace: float = 60,
        first_delay: float = 1,
        steady_after: float = 60,
    ) -> None:
        self._children = [_Child(service) for service in services]
        self._say = say
        self._patience = patience
        self._grace = grace
        self._first_delay = first_delay
        self._steady_after = steady_after
        self._signals = ExitStack()

    def __enter__(self) -> Self:
        self._signals.enter_context(interrupted_by_signals())
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._stop()
        finally:
            self._signals.close()

    def check(self) -> None:
        """Note which children have died or become ready, and start those again whose time has come."""
        now = time.monotonic()
        for child in self._children:
            name = child.service.name
            if child.process is None:
                if now >= child.due:
                    child.start()
            elif (ending := child.ended()) is not None:
                child.deaths = 1 if now - child.started >= self._steady_after else child.deaths + 1
                delay = min(_LONGEST_DELAY, self._first_delay * 2 ** (child.deaths - 1))
                child.due = now + delay
                child.clear()
                self._say(f"{name} {ending}; it is started again in {delay:g} s")
            elif not child.ready and child.is_ready():
                child.ready = True
                self._say(f"{name} is ready")

    def wait(self) -> None:
        """Watch over the children until ctrl-C, SIGTERM or SIGHUP."""
        with suppress(KeyboardInterrupt):
            while True:
                self.check()
                time.sleep(_TICK)

    def _start(self) -> None:
        for child in self._children:
            child.start()
        deadline = time.monotonic() + self._patience
        while not all(child.ready for child in self._children):
            for child in self._children:
                late = time.monotonic() > deadline and not child.ready
                if ending := child.ended() or (late and f"is not ready after {self._patience:g} s"):
                    where = f"see {child.service.log}" if child.service.log else "see its output above"
                    raise TransientFailure("service_start_failed", f"{child.service.name} {ending}; {where}")
            self.check()
            time.sleep(_TICK)

    def _stop(self) -> None:
        running = [child for child in self._children if child.process is not None]
        for child in running:
            child.terminate()
        deadline = time.monotonic() + self._grace
        with suppress(KeyboardInterrupt):
            while time.monotonic() < deadline and any(child.ended() is None for child in running):
                time.sleep(_TICK)
        for child in running:
            if child.ended() is None:
                self._say(f"{child.service.name} did not stop in time and is killed")
            child.clear()


class _Child:
    """One service's process, and how it has fared."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.started = 0.0
        self.deaths = 0
        self.due = 0.0

    def start(self) -> None:
        service = self.service
        if service.ready_file is not None:
            service.ready_file.unlink(missing_ok=True)
        with ExitStack() as stack:
            output = stack.enter_context(service.log.open("ab")) if service.log else None
            self.process = subprocess.Popen(  # noqa: S603 - the caller's own command
                [sys.executable, "-P", "-m", "worker.launch", str(os.getpid()), *service.command],
                env={**os.environ, **service.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A group of its own, which can be killed as one; and a ctrl-C at the terminal is not for it.
                start_new_session=True,
            )
        self.started = time.monotonic()
        self.ready = False

    def is_ready(self) -> bool:
        return self.service.ready_file is None or self.service.ready_file.exists()

    def ended(self) -> str | None:
        """How the process ended; None while it runs. Leaves it to be waited for, so that its id stays its own."""
        if self.process is None:
            return None
        state = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if state is None:
            return None
        if state.si_code == os.CLD_EXITED:
            return f"ended with exit status {state.si_status}"
        return f"was killed by {signal.Signals(state.si_status).name}"

    def terminate(self) -> None:
        # Its own children are its own to stop: they may be in the middle of what it has promised to finish.
        # Popen's way to send a signal would wait for a process that has ended.
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGTERM)

    def clear(self) -> None:
        """Kill what is left of the process and its group."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
            self.ready = False


def _become(parent: int, command: list[str]) -> None:
    """A child's first step: bind it to its parent's life, then turn into the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == parent:
        os.execvp(command[0], command)  # noqa: S606 - the caller's own command


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
