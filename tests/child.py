"""A Python program as a child process, forked from one that has imported what a node imports.

Those imports are two seconds of processor, and the tests start more than a hundred nodes. All else is as in a process
that was started by itself: arguments, environment, folder, output, how it ends.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        "celery.app.control",
        "celery.apps.worker",
        "celery.concurrency.prefork",
        "celery.concurrency.thread",
        "celery.events",
        "celery.worker.autoscale",
        "celery.worker.components",
        "celery.worker.consumer.delayed_delivery",
        "celery.worker.strategy",
        "core.backends.fake",
        "kombu.transport.redis",
        "opentelemetry.sdk.metrics.export",
        "psycopg2.extras",
        "redis.asyncio",
        "worker.app",
        "worker.cli.main",
        "worker.health",
        "worker.tracing",
        "worker.trainer",
    ]
)


class Child:
    """`python *program *words` in a folder, with this environment alone; its output is appended to `log`.

    Its methods are those of subprocess.Popen.
    """

    def __init__(
        self, program: Sequence[str], words: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        log.touch()
        self._process = _SERVER.Process(target=_become, args=([*program, *words], folder, dict(environment), log))
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def afresh(
    program: Sequence[str], words: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    """The same, but started by itself, so that /proc shows its own environment, and that of all that it forks."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *program, *words], cwd=folder, env=environment, stdout=output, stderr=output
        )


def _become(command: list[str], folder: Path, environment: dict[str, str], log: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for own in (sys.stdout, sys.stderr):
        os.dup2(output, own.fileno())
    os.close(output)
    try:
        if command[0] == "-m":
            sys.argv[:] = command[1:]
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv[:] = command
            sys.path.insert(0, str(Path(command[0]).parent))
            runpy.run_path(command[0], run_name="__main__")
    finally:
        # A child of multiprocessing ends without.
        atexit._run_exitfuncs()
