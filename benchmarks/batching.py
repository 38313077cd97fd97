"""What the batcher makes of a device, and whole servers around it: ours, LitServe, and Celery's usual worker."""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from celery import Celery, signals

from benchmarks.contender import CeleryServer, Contender, Server, is_over, rate
from worker.batcher import Batcher
from worker.embedded import Embedded
from worker.results import Results

IN_FLIGHT: Final = (1, 2, 4, 8, 16, 32, 64, 128)
LINGER: Final = 0.004
"""Seconds that a batch may wait for company, ours and LitServe's alike."""
SECONDS: Final = 2.5
"""For which the simulated device is kept busy."""
LONE: Final = 50
IMAGES: Final = 64

Run = Callable[[Sequence[int]], Sequence[float]]
"""Numbers of images → a value each."""


def _accelerator() -> Run:
    def run(batch: Sequence[int]) -> Sequence[float]:
        time.sleep(0.020 + 0.001 * len(batch))
        return [float(number) for number in batch]

    return run


def _vit(**shape: int) -> Run:
    import torch
    from transformers import ViTConfig, ViTModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = ViTConfig(intermediate_size=4 * shape["hidden_size"], **shape)
    model = ViTModel(config).eval()
    images = torch.rand(IMAGES, 3, config.image_size, config.image_size)

    def run(batch: Sequence[int]) -> Sequence[float]:
        with torch.inference_mode():
            numbers = [number % IMAGES for number in batch]
            found: list[float] = model(images[numbers]).pooler_output[:, 0].tolist()
        return found

    return run


@dataclass(frozen=True, slots=True)
class Workload:
    """A model, whether the processor runs it, how many images it takes at once, for how many seconds each rate is
    measured, and in how many rounds, in which all servers take turns; medians are told.
    """

    make: Callable[[], Run]
    on_processor: bool
    max_batch: int
    in_flight: Sequence[int]
    seconds: float
    rounds: int = 3


WORKLOADS: Final = {
    "device_20_ms_and_1_ms_an_item": Workload(_accelerator, False, 64, IN_FLIGHT, 0.5),
    "vit_hidden_64_image_32": Workload(
        lambda: _vit(hidden_size=64, num_hidden_layers=12, num_attention_heads=4, image_size=32, patch_size=8),
        True,
        64,
        IN_FLIGHT,
        0.5,
        # Where the message is nearly all there is, a noisy moment counts most.
        9,
    ),
    "vit_hidden_192_image_224": Workload(
        lambda: _vit(hidden_size=192, num_hidden_layers=12, num_attention_heads=3, image_size=224, patch_size=16),
        True,
        8,
        (1, 4, 16, 64),
        1.0,
    ),
}
"""A stand-in for an accelerator, during which the processor is free; a model so small that what each call costs
beside its arithmetic counts most; and one whose arithmetic fills the processor, so that batches can gain little."""


def simulated() -> dict[str, Any]:
    """Share of the best possible throughput of a device that takes 20 ms and 1 ms an item, by callers in flight.

    And what the batcher adds to a lone request, in milliseconds beside calling the device itself.
    """
    figures: dict[str, Any] = {}
    for callers in IN_FLIGHT:
        share, size = _share_of_best(callers)
        figures |= {f"share_of_best_with_{callers}_in_flight": share, f"mean_batch_with_{callers}_in_flight": size}
    run = _accelerator()
    batcher = Batcher(max_items=64, max_weight=64, linger=LINGER, on_death=lambda: None)
    direct, batched = list[float](), list[float]()
    for _ in range(LONE):
        start = time.perf_counter()
        run([1])
        direct.append(1000 * (time.perf_counter() - start))
        time.sleep(0.01)
        start = time.perf_counter()
        batcher.submit(run, 1).result()
        batched.append(1000 * (time.perf_counter() - start))
    batcher.close()
    return figures | {
        "lone_request_direct_ms": statistics.median(direct),
        "lone_request_batched_ms": statistics.median(batched),
        "lone_request_batched_p95_ms": statistics.quantiles(batched, n=20)[-1],
    }


def _share_of_best(callers: int) -> tuple[float, float]:
    """Of the best possible throughput, and the mean size of a batch, once callers go in step."""
    run, best, over = _accelerator(), min(callers, 64), threading.Event()
    ended: list[tuple[float, int]] = []

    def recorded(batch: Sequence[int]) -> Sequence[float]:
        results = run(batch)
        ended.append((time.perf_counter(), len(batch)))
        return results

    batcher = Batcher(max_items=64, max_weight=64, linger=LINGER, on_death=lambda: None)

    def client(number: int) -> None:
        while not over.is_set():
            batcher.submit(recorded, number).result()

    with ThreadPoolExecutor(callers) as pool:
        for number in range(callers):
            pool.submit(client, number)
        time.sleep(SECONDS)
        over.set()
    batcher.close()
    steady = [(when, size) for when, size in ended if ended[0][0] + 0.5 < when < ended[0][0] + SECONDS - 0.2]
    seconds = steady[-1][0] - steady[0][0]
    size = sum(size for _, size in steady[1:])
    return size / seconds / (best / (0.020 + 0.001 * best)), size / len(steady[1:])


def servers(folder: Path) -> dict[str, Any]:
    """Images a second of three servers on one model, side by side, by requests in flight, and their processor's time.

    All servers of a model run during a measurement, and those that are not measured are halted; each rate is taken
    of all in turn, so that a noisy hour is all of theirs.
    """
    figures: dict[str, Any] = {}
    if find_spec("litserve") is None:
        figures["litserve"] = "missing: pip install -c constraints.txt -e '.[bench]'"
    with Embedded(folder / "batching", durable=False) as addresses:
        for name, workload in WORKLOADS.items():
            with ExitStack() as stack:
                contenders: dict[str, Contender] = {
                    pool: stack.enter_context(_celery(pool, name, addresses.redis_url, folder))
                    for pool in ("threads", "two nodes", "prefork")
                }
                if "litserve" not in figures:
                    contenders["litserve"] = stack.enter_context(_litserve(name, folder))
                for contender in contenders.values():
                    contender.drive(2 * workload.max_batch, 0)
                    contender.halt()
                figures |= _measure(name, workload, contenders)
    return figures


def _measure(name: str, workload: Workload, contenders: dict[str, Contender]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for in_flight in workload.in_flight:
        rates: dict[str, list[float]] = {contender: [] for contender in contenders}
        spent: dict[str, list[float]] = {contender: [] for contender in contenders}
        for _ in range(workload.rounds):
            for contender, server in contenders.items():
                server.go_on()
                before = server.processor_seconds()
                times = server.drive(in_flight, workload.seconds)
                rates[contender].append(rate(times, in_flight))
                seconds = server.processor_seconds() - before
                spent[contender].append(1000 * seconds / (len(times) + in_flight - 1))
                server.halt()
        here = f"{name}, {in_flight} in flight:"
        for contender in contenders:
            figures[f"{here} {contender} images/s"] = statistics.median(rates[contender])
            figures[f"{here} {contender} processor ms an image"] = statistics.median(spent[contender])
        for other in contenders.keys() - {"threads", "two nodes"}:
            for ours, called in (("threads", "ours"), ("two nodes", "two of ours")):
                ratios = [mine / its for mine, its in zip(rates[ours], rates[other], strict=True)]
                figures[f"{here} {called} to {other}"] = statistics.median(ratios)
    return figures


class _LitServeServer(Server):
    def __init__(self, name: str, port: int, log: Path) -> None:
        super().__init__(["benchmarks.litserve_node", name, str(port)], log)
        self._url = f"http://127.0.0.1:{port}"

    def drive(self, in_flight: int, seconds: float) -> list[float]:
        return asyncio.run(self._drive(in_flight, seconds))

    async def _drive(self, in_flight: int, seconds: float) -> list[float]:
        import aiohttp

        times: list[float] = []
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:
            while not await self._is_up(session):
                await asyncio.sleep(0.1)

            async def client(number: int) -> None:
                while not is_over(times, in_flight, seconds):
                    async with session.post(f"{self._url}/predict", json={"number": number}) as answer:
                        answer.raise_for_status()
                        await answer.json()
                    if not is_over(times, in_flight, seconds):
                        times.append(time.perf_counter())

            await asyncio.gather(*(client(number) for number in range(in_flight)))
        return times

    async def _is_up(self, session: Any) -> bool:
        import aiohttp

        try:
            async with session.get(f"{self._url}/health") as answer:
                return bool(answer.status == 200)
        except aiohttp.ClientError:
            return False


@contextmanager
def _celery(pool: str, name: str, url: str, folder: Path) -> Iterator[Contender]:
    server = CeleryServer(
        ["benchmarks.batching", pool, name, url], _app(pool, url), _send, folder / f"{name}-{pool}.log"
    )
    try:
        yield server
    finally:
        server.end()


@contextmanager
def _litserve(name: str, folder: Path) -> Iterator[Contender]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = _LitServeServer(name, port, folder / f"{name}-litserve.log")
    try:
        yield server
    finally:
        server.end()


_TASK: Final = "encode"


def _send(app: Celery, number: int) -> str:
    # As IntakeClient sends.
    return str(app.send_task(_TASK, [number], argsrepr="", kwargsrepr="", declare=[]).id)


def _app(pool: str, url: str) -> Celery:
    """Settings as worker.app has them, a queue a pool.

    Ours are `threads` and, since LitServe has two processes, `two nodes`.
    """
    app = Celery("batching", broker=url, backend=url, set_as_current=False)
    if pool != "prefork":
        Results.serve(app)
    app.conf.update(
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        broker_transport="worker.transport:Transport",
        broker_transport_options={"global_keyprefix": f"{pool}:", "queue_order_strategy": "priority"},
        result_backend_transport_options={"global_keyprefix": f"{pool}:"},
        task_default_queue="classify",
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_pool="prefork" if pool == "prefork" else "threads",
        worker_concurrency={"threads": max(IN_FLIGHT), "two nodes": max(IN_FLIGHT) // 2, "prefork": 1}[pool],
    )
    return app


def _serve(pool: str, name: str, url: str) -> None:
    app, workload = _app(pool, url), WORKLOADS[name]
    encode: Callable[[int], float]
    if pool != "prefork":
        run = workload.make()
        device = Batcher(
            max_items=workload.max_batch,
            max_weight=workload.max_batch,
            linger=LINGER,
            on_processor=workload.on_processor,
            on_death=lambda: None,
        )

        def encode(number: int) -> float:
            return device.submit(run, number).result()

    else:
        made: list[Run] = []
        # In the process that works: what was made before the fork is not to be trusted after it.
        signals.worker_process_init.connect(lambda **_: made.append(workload.make()), weak=False)

        def encode(number: int) -> float:
            return made[0]([number])[0]

    app.task(encode, name=_TASK)
    app.worker_main(
        f"worker --hostname={os.getpid()}@%h --loglevel=WARNING "
        "--without-gossip --without-mingle --without-heartbeat".split()
    )


if __name__ == "__main__":
    if sys.argv[1] == "two nodes" and "second" not in sys.argv:
        with subprocess.Popen([sys.executable, "-m", "benchmarks.batching", *sys.argv[1:], "second"]):  # noqa: S603
            _serve(*sys.argv[1:])
    else:
        _serve(*sys.argv[1:4])
