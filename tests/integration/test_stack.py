"""`docintake up`, as typed, in a data folder of its own: what runs then, and that nothing is left."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from node import PATIENCE, wait_until

from core.settings import PROJECT


def test_up_serves_trains_and_keeps_time_until_it_is_told_to_stop() -> None:
    folder = Path(tempfile.mkdtemp(prefix="docintake-up-"))
    folder.chmod(0o755)
    own = {name: value for name, value in os.environ.items() if not name.startswith("DOCINTAKE_")}
    environment = {**own, "DOCINTAKE_DATA_DIR": str(folder / "data"), "DOCINTAKE_MODEL__BACKEND": "fake"}
    docintake = [sys.executable, "-m", "worker"]
    output = folder / "output"
    with output.open("w") as stream:
        up = subprocess.Popen([*docintake, "up"], cwd=PROJECT, env=environment, stdout=stream, stderr=stream)
    try:
        start = time.monotonic()
        ready = {"node is ready", "trainer is ready", "beat is ready"}
        wait_until(lambda: ready <= set(output.read_text().splitlines()) or up.poll() is not None, "all three")
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
        assert "takes classify, qa" in nodes["detail"]
        assert "takes retrain" in nodes["detail"]
        logs = {name: (folder / "data" / f"{name}.log").read_text() for name in ("node", "trainer", "beat")}
        assert "model loaded" in logs["node"]
        assert "model loaded" not in logs["trainer"] + logs["beat"]
        assert "scheduled" in logs["beat"]
        children = psutil.Process(up.pid).children(recursive=True)
    finally:
        up.send_signal(signal.SIGTERM)
        status = up.wait(PATIENCE)
    assert status == 0, output.read_text()
    assert not psutil.wait_procs(children, timeout=PATIENCE)[1]
