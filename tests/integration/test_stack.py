"""`docintake up`, as typed, in a data folder of its own: what runs then, and that nothing is left."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import closing
from pathlib import Path

import psutil
from node import PATIENCE, disconnect, wait_until
from printed import pdf
from sqlalchemy import text

from core.contract import ClassifyResult, Handle, IntakeClient
from core.settings import PROJECT, Settings
from db.session import make_engine, transaction
from worker.embedded import locate

NODES = {f"classify-qa@{socket.gethostname()}-cpu{number}" for number in range(2)}
TASKS = 120


class Desk:
    """A back office that asks about as many papers as TASKS, and looks up which node did what."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        assert settings.broker.url
        assert settings.database.url
        self._folder = folder
        self._asked: list[Handle[ClassifyResult]] = []
        self._client = IntakeClient(settings.broker.url.get_secret_value())
        self._database = make_engine(settings.database.url.get_secret_value(), statement_timeout=30, pool_size=1)

    def ask(self) -> None:
        papers = [self._folder / f"{uuid.uuid4().hex}.pdf" for _ in range(TASKS)]
        for paper in papers:
            paper.write_bytes(pdf(["Invoice", "Amount due 108.00", f"case {paper.stem}"]))
        self._asked = [self._client.classify(paper.as_uri()) for paper in papers]

    def hear(self) -> None:
        for handle in self._asked:
            assert handle.get(PATIENCE).task_id == handle.id

    def shares(self) -> dict[str, int]:
        """Node → how many of the tasks it has ended."""
        wanted = [handle.id for handle in self._asked]
        with transaction(self._database) as connection:
            ended = "SELECT node, count(*) FROM jobs WHERE task_id = ANY(:ids) AND state = 'succeeded' GROUP BY node"
            return dict(connection.execute(text(ended), {"ids": wanted}).all())

    def close(self) -> None:
        # Celery's results take leave of Redis when they are collected: while it is still there.
        self._asked.clear()
        disconnect(self._client)
        self._database.dispose()


def test_up_serves_on_each_device_trains_and_keeps_time_until_it_is_told_to_stop() -> None:
    folder = Path(tempfile.mkdtemp(prefix="docintake-up-"))
    folder.chmod(0o755)
    own = {name: value for name, value in os.environ.items() if not name.startswith("DOCINTAKE_")}
    environment = {
        **own,
        "DOCINTAKE_DATA_DIR": str(folder / "data"),
        "DOCINTAKE_DOCUMENTS__ROOTS": json.dumps([str(folder)]),
        "DOCINTAKE_MODEL__BACKEND": "fake",
        "DOCINTAKE_BROKER__VISIBILITY_TIMEOUT": "20",
        "DOCINTAKE_BROKER__RESTORE_INTERVAL": "1",
    }
    docintake = [sys.executable, "-m", "worker"]
    output, logs = folder / "output", folder / "data"
    command = [*docintake, "up", "--devices", "cpu,cpu"]
    with output.open("w") as stream:
        up = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=stream, stderr=stream)
    try:
        start = time.monotonic()
        ready = {"node-cpu0 is ready", "node-cpu1 is ready", "trainer is ready", "beat is ready"}
        wait_until(lambda: ready <= set(output.read_text().splitlines()) or up.poll() is not None, "all four")
        print(f"up after {time.monotonic() - start:.1f} s")
        assert up.poll() is None, output.read_text()
        said = subprocess.run(
            [*docintake, "doctor", "--json"],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        (nodes,) = [check for check in json.loads(said.stdout)["checks"] if check["part"] == "nodes"]
        assert nodes["ok"]
        for name in NODES:
            assert f"{name} takes classify, qa" in nodes["detail"]
        assert "takes retrain" in nodes["detail"]
        assert all("model loaded" in (logs / f"{name}.log").read_text() for name in ("node-cpu0", "node-cpu1"))
        assert all("model loaded" not in (logs / f"{name}.log").read_text() for name in ("trainer", "beat"))
        assert "scheduled" in (logs / "beat.log").read_text()
        settings = locate(Settings(data_dir=folder / "data"))
        with closing(Desk(settings, folder)) as desk:
            desk.ask()
            desk.hear()
            shares = desk.shares()
            print(f"shared by the nodes: {shares}")
            assert shares.keys() == NODES
            assert min(shares.values()) >= 0.3 * TASKS
            # What a node holds that dies is done by the other one, while it is started again.
            desk.ask()
            wait_until(lambda: len(desk.shares()) == 2, "both at work")
            (node,) = [one for one in psutil.Process(up.pid).children() if "classify-qa@%h-cpu0" in one.cmdline()]
            node.kill()
            desk.hear()
            assert sum(desk.shares().values()) == TASKS
        again = "node-cpu0 was killed by SIGKILL; it is started again in 1 s"
        assert again in output.read_text()
        wait_until(lambda: output.read_text().count("node-cpu0 is ready") == 2, "the node again")
        children = psutil.Process(up.pid).children(recursive=True)
    finally:
        up.send_signal(signal.SIGTERM)
        status = up.wait(PATIENCE)
    assert status == 0, output.read_text()
    assert not psutil.wait_procs(children, timeout=PATIENCE)[1]
