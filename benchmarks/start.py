"""How long a node takes to be ready and how much memory it then has, beside its model and nothing else."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from db import migrations
from db.session import make_engine
from worker.class_sets import ensure_default
from worker.embedded import Embedded
from worker.stack import CLASSES

ROUNDS: Final = 3
MIB: Final = 1024 * 1024

_MODEL: Final = """
import torch
from core.backends import make_backend
from core.settings import Model
backend = make_backend(Model(backend="ocr_text"))
backend.load("cpu")
backend.encode_texts(["ready"])
"""
_TORCH: Final = "import torch"
_READER: Final = """
import numpy
from core.picture import Raster
from core.recognition import Recognizer
Recognizer().page(1, Raster(numpy.full((1100, 850, 3), 255, numpy.uint8), 850, 1100))
"""
_PEAK: Final = "import psutil; print(psutil.Process().memory_full_info().uss)"


def node(folder: Path) -> dict[str, Any]:
    """A node's start ÷ importing torch and loading the model alone, in processor time and on the clock; its memory ÷
    that of the model and of its recognition sessions; the command line and the contract.
    """
    with Embedded(folder / "start") as addresses:
        engine = make_engine(addresses.database_url, statement_timeout=60, pool_size=1)
        migrations.upgrade(engine)
        ensure_default(engine, CLASSES)
        engine.dispose()
        environment = {
            "DOCINTAKE_DATA_DIR": str(folder / "node"),
            "DOCINTAKE_BROKER__URL": addresses.redis_url,
            "DOCINTAKE_DATABASE__URL": addresses.database_url,
            "DOCINTAKE_READING__PROCESSES": "1",
        }
        # The first start keeps what texts are in vectors, as every later one finds it.
        _start(folder, environment)
        starts, alone, torch = list[tuple[float, float, int, int]](), list[tuple[float, float]](), list[float]()
        for _ in range(ROUNDS):
            starts.append(_start(folder, environment))
            alone.append(_run(_MODEL))
            torch.append(_run(_TORCH)[0])
    clock, processor, own, readers = (statistics.median(each) for each in zip(*starts, strict=True))
    model_clock, model_processor = (statistics.median(each) for each in zip(*alone, strict=True))
    model, session = _memory(_MODEL), _memory(_READER)
    return {
        "ready in, of the model alone": clock / model_clock,
        "processor time until ready, of the model alone": processor / model_processor,
        "model alone, of importing torch": model_clock / statistics.median(torch),
        "node, MiB": own / MIB,
        "model alone, MiB": model / MIB,
        "a reading process, MiB": readers / MIB,
        "recognition alone, MiB": session / MIB,
        "node and one reading process, of model and recognition": (own + readers) / (model + session),
        "help, seconds": _median([sys.executable, "-m", "worker", "--help"]),
        "contract, seconds": _median([sys.executable, "-c", "import core.contract"])
        - _median([sys.executable, "-c", "import pydantic"]),
        "pydantic, seconds": _median([sys.executable, "-c", "import pydantic"]),
    }


def _start(folder: Path, environment: Mapping[str, str]) -> tuple[float, float, int, int]:
    """Seconds until ready, on the clock and of processor; bytes that the node and its reading process alone have."""
    ready = folder / "ready"
    with (folder / "start.log").open("wb") as log:
        begun = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", "worker", "worker", "--ready-file", str(ready)],
            env=os.environ | environment,
            stdout=log,
            stderr=log,
        )
        try:
            while not ready.exists():
                if process.poll() is not None:
                    raise RuntimeError(
                        f"the node ended with {process.returncode}: {(folder / 'start.log').read_text()}"
                    )
                time.sleep(0.005)
            clock = time.perf_counter() - begun
            own = psutil.Process(process.pid)
            children = own.children(recursive=True)
            spent = [each.cpu_times() for each in (own, *children)]
            return (
                clock,
                sum(each.user + each.system for each in spent),
                own.memory_full_info().uss,
                sum(each.memory_full_info().uss for each in children),
            )
        finally:
            process.terminate()
            process.wait()


def _run(program: str) -> tuple[float, float]:
    """Seconds that a program takes, on the clock and of processor."""
    begun, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - this file's own
    after = os.times()
    return (
        time.perf_counter() - begun,
        after.children_user + after.children_system - before.children_user - before.children_system,
    )


def _memory(program: str) -> int:
    found = subprocess.run(  # noqa: S603 - this file's own
        [sys.executable, "-c", program + _PEAK], check=True, capture_output=True, text=True
    )
    return int(found.stdout)


def _median(words: Sequence[str]) -> float:
    def once() -> float:
        begun = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)  # noqa: S603 - this file's own
        return time.perf_counter() - begun

    return statistics.median(once() for _ in range(5))
