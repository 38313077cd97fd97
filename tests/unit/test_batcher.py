import threading
from collections.abc import Iterator, Sequence

import pytest

from core.errors import ModelFailure, TransientFailure
from worker.batcher import Batcher


class Device:
    """Doubles numbers; records its batches; can be held shut while items gather."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()

    def run(self, batch: Sequence[int]) -> list[int]:
        self.open.wait()
        self.batches.append(list(batch))
        if 13 in batch:
            raise ValueError("13 does not fit")
        if 99 in batch:
            raise SystemExit("the device is gone")
        return [2 * value for value in batch]


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def deaths() -> list[str]:
    return []


@pytest.fixture
def batcher(device: Device, deaths: list[str]) -> Iterator[Batcher[int, int]]:
    batcher: Batcher[int, int] = Batcher(device.run, max_batch=4, on_death=lambda: deaths.append("dead"))
    yield batcher
    if batcher.alive:
        batcher.close()


def test_a_lone_item_runs_at_once(batcher: Batcher[int, int], device: Device) -> None:
    assert batcher.submit(1).result(timeout=5) == 2
    assert device.batches == [[1]]


def test_items_that_gather_while_the_device_is_busy_share_a_batch(batcher: Batcher[int, int], device: Device) -> None:
    device.open.clear()
    futures = [batcher.submit(value) for value in range(8)]
    device.open.set()
    assert [future.result(timeout=5) for future in futures] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert len(device.batches) <= 4
    assert max(len(batch) for batch in device.batches) == 4


def test_an_item_that_fails_fails_alone(batcher: Batcher[int, int], device: Device) -> None:
    device.open.clear()
    futures = {value: batcher.submit(value) for value in (1, 2, 13, 3, 4)}
    device.open.set()
    with pytest.raises(ModelFailure, match="ValueError"):
        futures.pop(13).result(timeout=5)
    assert {value: future.result(timeout=5) for value, future in futures.items()} == {1: 2, 2: 4, 3: 6, 4: 8}


def test_a_call_runs_on_the_device_thread_between_batches(batcher: Batcher[int, int]) -> None:
    future = batcher.submit(1)
    assert batcher.call(lambda: threading.current_thread().name) == "device"
    assert future.done()


def test_a_call_that_raises_raises_for_its_caller(batcher: Batcher[int, int]) -> None:
    with pytest.raises(ModelFailure, match="ZeroDivisionError"):
        batcher.call(lambda: 1 // 0)


def test_close_finishes_what_waits_and_refuses_what_follows(batcher: Batcher[int, int], device: Device) -> None:
    device.open.clear()
    futures = [batcher.submit(value) for value in range(6)]
    threading.Timer(0.05, device.open.set).start()
    batcher.close()
    assert [future.result(timeout=0) for future in futures] == [0, 2, 4, 6, 8, 10]
    with pytest.raises(TransientFailure, match="device_lost"):
        batcher.submit(1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dying_device_thread_fails_its_waiters_and_says_so(
    batcher: Batcher[int, int], device: Device, deaths: list[str]
) -> None:
    device.open.clear()
    futures = [batcher.submit(value) for value in (1, 99, 2, 3, 4, 5, 6, 7)]
    device.open.set()
    for future in futures[1:]:
        with pytest.raises(TransientFailure, match="device_lost"):
            future.result(timeout=5)
    assert deaths == ["dead"]
    with pytest.raises(TransientFailure):
        batcher.submit(1)
