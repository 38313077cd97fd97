"""Batches, on a device whose time is simulated: its clock moves when a batch runs, or when a test says so.

While the clock stands still the batcher waits as long as it may wait at all, so what it does not wait for is
served, and what it waits for must come; no test depends on how fast this machine is.
"""

import random
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from prometheus_client import REGISTRY

from core.errors import ModelFailure, RejectedInput, TransientFailure
from worker.batcher import Batcher

LINGER = 0.004
PATIENCE = 30
"""Seconds until a test that hangs fails."""


class Clock:
    """Stands still but for a microsecond in all, so that no two moments are the same."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._ticks = count()

    def __call__(self) -> float:
        return self.now + 1e-12 * next(self._ticks)


class Device:
    """Doubles numbers in 20 ms and 1 ms an item; records its batches; can be held shut while items gather."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.batches: list[list[int]] = []
        self.room = 10**6
        self.open = threading.Event()
        self.open.set()

    def run(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        self.clock.now += 0.020 + 0.001 * len(batch)
        if -13 in batch:
            raise ValueError("-13 does not fit")
        if -99 in batch:
            raise SystemExit("the device is gone")
        if len(batch) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [2 * value for value in batch]

    def other(self, batch: Sequence[int]) -> list[int]:
        return [-value for value in self.run(batch)]

    def hold(self, batcher: Batcher) -> None:
        """Keep the device busy after a while of idleness, so that items gather until `release`."""
        pass_time(batcher, self.clock, 1)
        busy = threading.Event()
        self.open.clear()

        def held(batch: Sequence[int]) -> Sequence[int]:
            busy.set()
            assert self.open.wait(PATIENCE)
            return batch

        batcher.submit(held, 0, queue="held")
        assert busy.wait(PATIENCE)

    def release(self) -> None:
        self.open.set()

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


def pass_time(batcher: Batcher, clock: Clock, seconds: float) -> None:
    # A call ends once the batch before it has: results are there a moment before the batcher looks at the clock.
    batcher.call(lambda: None)
    clock.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("worker.batcher.monotonic", clock)
    return clock


@pytest.fixture
def device(clock: Clock) -> Device:
    return Device(clock)


@pytest.fixture
def deaths() -> list[str]:
    return []


Make = Callable[..., Batcher]


@pytest.fixture
def make(device: Device, deaths: list[str]) -> Iterator[Make]:
    made: list[Batcher] = []

    def make(max_items: int = 64, max_weight: int = 1000, linger: float = LINGER, **options: bool) -> Batcher:
        made.append(
            Batcher(
                max_items=max_items,
                max_weight=max_weight,
                linger=linger,
                on_death=lambda: deaths.append("dead"),
                **options,
            )
        )
        return made[-1]

    yield make
    device.open.set()
    for batcher in made:
        batcher.close()


@pytest.fixture
def batcher(make: Make) -> Batcher:
    return make()


def results(futures: Sequence["Future[int]"]) -> list[int]:
    return [future.result(timeout=PATIENCE) for future in futures]


def test_a_lone_item_runs_at_once(batcher: Batcher, device: Device) -> None:
    assert batcher.submit(device.run, 1).result(timeout=PATIENCE) == 2
    assert device.batches == [[1]]


def test_a_lone_item_after_idleness_runs_at_once(batcher: Batcher, device: Device, clock: Clock) -> None:
    device.hold(batcher)
    futures = [batcher.submit(device.run, value) for value in range(1, 9)]
    device.release()
    results(futures)
    pass_time(batcher, clock, LINGER)
    assert batcher.submit(device.run, 9).result(timeout=PATIENCE) == 18
    assert device.batches == [[1, 2, 3, 4, 5, 6, 7, 8], [9]]


def test_items_that_gather_while_the_device_is_busy_share_a_batch(make: Make, device: Device) -> None:
    batcher = make(max_items=4)
    device.hold(batcher)
    futures = [batcher.submit(device.run, value) for value in range(1, 9)]
    device.release()
    assert results(futures) == [2, 4, 6, 8, 10, 12, 14, 16]
    assert device.batches == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_a_burst_after_idleness_is_served_in_two_batches(batcher: Batcher, device: Device, clock: Clock) -> None:
    all_there = threading.Event()

    def run(batch: Sequence[int]) -> list[int]:
        assert all_there.wait(PATIENCE)
        return device.run(batch)

    pass_time(batcher, clock, 1)
    futures = [batcher.submit(run, value) for value in range(64)]
    all_there.set()
    while wait_for(futures, timeout=0.05).not_done:
        # The second batch may wait for the callers of the first.
        clock.now += LINGER
    assert results(futures) == [2 * value for value in range(64)]
    assert len(device.batches) <= 2


def test_callers_on_their_way_back_are_waited_for(batcher: Batcher, device: Device) -> None:
    device.hold(batcher)
    futures = [batcher.submit(device.run, value) for value in range(1, 5)]
    device.release()
    results(futures)
    returned = [batcher.submit(device.run, value) for value in range(5, 8)]
    assert not wait_for(returned, timeout=0.05).done
    returned.append(batcher.submit(device.run, 8))
    assert results(returned) == [10, 12, 14, 16]
    assert device.sizes == [4, 4]


def test_callers_that_stay_away_are_waited_for_no_longer_than_it_may_linger(
    batcher: Batcher, device: Device, clock: Clock
) -> None:
    device.hold(batcher)
    futures = [batcher.submit(device.run, value) for value in range(1, 5)]
    device.release()
    results(futures)
    returned = batcher.submit(device.run, 5)
    assert not wait_for([returned], timeout=0.05).done
    pass_time(batcher, clock, LINGER)
    assert returned.result(timeout=PATIENCE) == 10
    assert device.batches[-1] == [5]


def test_it_lingers_at_most_half_as_long_as_the_batch_took(make: Make, device: Device, clock: Clock) -> None:
    batcher = make(linger=1000)
    device.hold(batcher)
    futures = [batcher.submit(device.run, value) for value in range(1, 11)]
    device.release()
    results(futures)
    returned = batcher.submit(device.run, 11)
    pass_time(batcher, clock, 0.014)
    assert not wait_for([returned], timeout=0.05).done
    pass_time(batcher, clock, 0.0011)
    assert returned.result(timeout=PATIENCE) == 22


def test_on_the_processor_callers_are_waited_for_as_long_as_company_saves(
    make: Make, device: Device, clock: Clock
) -> None:
    batcher = make(on_processor=True)
    for items in (2, 4, 2, 4):
        device.hold(batcher)
        futures = [batcher.submit(device.run, value) for value in range(items)]
        device.release()
        results(futures)
    returned = batcher.submit(device.run, 11)
    # Three times what company saves would be 60 ms, and twice what the last batch took 48: 40 is the most.
    pass_time(batcher, clock, 0.039)
    assert not wait_for([returned], timeout=0.05).done
    pass_time(batcher, clock, 0.0011)
    assert returned.result(timeout=PATIENCE) == 22


def test_on_the_processor_callers_are_waited_for_only_briefly_where_company_saves_nothing(
    make: Make, device: Device, clock: Clock
) -> None:
    batcher = make(on_processor=True)

    def run(batch: Sequence[int]) -> Sequence[int]:
        clock.now += 0.02 * len(batch)
        return batch

    for items in (2, 4, 2, 4):
        device.hold(batcher)
        futures = [batcher.submit(run, value) for value in range(items)]
        device.release()
        results(futures)
    returned = batcher.submit(run, 11)
    assert not wait_for([returned], timeout=0.05).done
    pass_time(batcher, clock, LINGER)
    assert returned.result(timeout=PATIENCE) == 11


def test_who_has_learned_that_nobody_comes_back_does_not_wait(batcher: Batcher, device: Device, clock: Clock) -> None:
    for _ in range(8):
        device.hold(batcher)
        pair = [batcher.submit(device.run, value) for value in (1, 2)]
        clock.now += 1
        device.release()
        results(pair)
    device.hold(batcher)
    pair = [batcher.submit(device.run, value) for value in (1, 2)]
    device.release()
    results(pair)
    # The clock stands still: it may linger, and sees no reason to.
    assert batcher.submit(device.run, 3).result(timeout=PATIENCE) == 6


@pytest.mark.parametrize(("clients", "max_items"), [(1, 64), (2, 64), (7, 64), (64, 64), (64, 32), (40, 32)])
def test_closed_loop_clients_get_nine_tenths_of_the_best_throughput(
    make: Make, device: Device, clients: int, max_items: int
) -> None:
    batcher, over = make(max_items=max_items), threading.Event()
    handed_in = [threading.Semaphore(0) for _ in range(clients)]

    def run(batch: Sequence[int]) -> Sequence[int]:
        # A batch takes long enough for everybody else to come meanwhile.
        for number in set(range(clients)).difference(batch):
            assert handed_in[number].acquire(timeout=PATIENCE)
            handed_in[number].release()
        for number in batch:
            handed_in[number].acquire()
        device.run(batch)
        if len(device.batches) == 40:
            over.set()
            for semaphore in handed_in:
                semaphore.release(40)
        return batch

    def client(number: int) -> None:
        while not over.is_set():
            future = batcher.submit(run, number)
            handed_in[number].release()
            assert future.result(timeout=PATIENCE) == number

    with ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(client, number) for number in range(clients)]
        assert over.wait(PATIENCE)
        batcher.close()
        for future in futures:
            # Who came after it was closed was refused.
            assert isinstance(future.exception(PATIENCE), TransientFailure | None)
    sizes = device.sizes[8:40]
    best = min(clients, max_items)
    assert sum(sizes) / sum(20 + size for size in sizes) >= 0.9 * best / (20 + best)


def test_results_are_the_same_whoever_the_company(make: Make, device: Device) -> None:
    batcher, chance = make(max_items=8), random.Random(5)
    plans = [[chance.randrange(100, 10**6) for _ in range(30)] for _ in range(16)]

    def client(values: list[int]) -> list[int]:
        found = []
        for value in values:
            run, bucket = (device.run, device.other)[value % 2], value % 3
            found.append(batcher.submit(run, value, bucket=bucket, weight=1 + value % 5).result(timeout=PATIENCE))
        return found

    ticking = threading.Event()

    def tick() -> None:
        while not ticking.wait(0.001):
            device.clock.now += 0.002

    ticker = threading.Thread(target=tick)
    ticker.start()
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(client, plans))
    ticking.set()
    ticker.join()
    assert found == [[2 * value if value % 2 == 0 else -2 * value for value in values] for values in plans]
    assert max(device.sizes) > 1


def test_only_items_of_one_run_and_bucket_share_a_batch(batcher: Batcher, device: Device) -> None:
    device.hold(batcher)
    futures = [batcher.submit(device.run, value, bucket=value % 2) for value in range(1, 7)]
    futures += [batcher.submit(device.other, value, bucket=value % 2) for value in range(7, 9)]
    device.release()
    assert results(futures) == [2, 4, 6, 8, 10, 12, -14, -16]
    assert device.batches == [[1, 3, 5], [2, 4, 6], [7], [8]]


def test_a_batch_is_no_heavier_than_allowed(make: Make, device: Device) -> None:
    batcher = make(max_weight=10)
    device.hold(batcher)
    weights = (4, 4, 4, 1, 1, 1)
    futures = [batcher.submit(device.run, value, weight=weight) for value, weight in enumerate(weights, 1)]
    device.release()
    results(futures)
    assert device.batches == [[1, 2], [3, 4, 5, 6]]


def test_what_is_heavier_than_a_batch_may_be_runs_alone(make: Make, device: Device) -> None:
    batcher = make(max_weight=10)
    device.hold(batcher)
    futures = [
        batcher.submit(device.run, value, weight=weight) for value, weight in ((1, 1), (2, 50), (3, 1), (4, 1))
    ]
    device.release()
    results(futures)
    assert device.batches == [[1], [2], [3, 4]]


def test_a_small_bucket_is_not_starved_by_a_busy_one(make: Make, device: Device) -> None:
    batcher = make(max_items=2)
    device.hold(batcher)
    futures = [batcher.submit(device.run, value) for value in (1, 2, 3)]
    futures.append(batcher.submit(device.run, 4, bucket="rare"))
    futures += [batcher.submit(device.run, value) for value in range(5, 15)]
    device.release()
    results(futures)
    assert device.batches[:3] == [[1, 2], [3, 5], [4]]


def test_queues_share_the_device_by_the_time_that_they_take(make: Make, device: Device) -> None:
    batcher, order = make(max_items=1), list[str]()

    def cheap(batch: Sequence[int]) -> Sequence[int]:
        order.append("cheap")
        device.clock.now += 0.1
        return batch

    def costly(batch: Sequence[int]) -> Sequence[int]:
        order.append("costly")
        device.clock.now += 1
        return batch

    device.hold(batcher)
    futures = [batcher.submit(costly, value, queue="qa") for value in range(40)]
    futures += [batcher.submit(cheap, value, queue="classify") for value in range(40)]
    device.release()
    results(futures)
    assert order[:33].count("costly") == 3


def test_a_lone_caller_that_comes_back_has_its_share_beside_a_crowd(make: Make, device: Device) -> None:
    batcher, seconds = make(max_items=1), {"qa": 0.0, "classify": 0.0}
    over, came = threading.Event(), threading.Event()

    def costly(batch: Sequence[int]) -> Sequence[int]:
        # So long that the other's lone caller is back before it ends.
        assert came.wait(PATIENCE)
        # What is left when it is closed is served without regard to who comes back.
        seconds["qa"] += 0 if over.is_set() else 2
        device.clock.now += 2
        if sum(seconds.values()) > 60:
            over.set()
        return batch

    def cheap(batch: Sequence[int]) -> Sequence[int]:
        if not over.is_set():
            came.clear()
        seconds["classify"] += 0.1
        device.clock.now += 0.1
        return batch

    def client(run: Callable[[Sequence[int]], Sequence[int]], queue: str, there: threading.Event) -> None:
        while not over.is_set():
            future = batcher.submit(run, 1, queue=queue)
            there.set()
            future.result(timeout=PATIENCE)
        there.set()

    device.hold(batcher)
    with ThreadPoolExecutor(9) as pool:
        futures = [pool.submit(client, costly, "qa", threading.Event()) for _ in range(8)]
        futures.append(pool.submit(client, cheap, "classify", came))
        device.release()
        assert over.wait(PATIENCE)
        batcher.close()
        wait_for(futures)
    assert seconds["classify"] > 0.4 * sum(seconds.values())


def test_a_queue_saves_up_no_turns_while_it_is_away(make: Make, device: Device) -> None:
    batcher = make(max_items=1)
    results([batcher.submit(device.other, 1, queue="qa")])
    for value in range(50):
        results([batcher.submit(device.run, value)])
    device.batches.clear()
    device.hold(batcher)
    futures = [batcher.submit(device.other, 200 + value, queue="qa") for value in range(10)]
    futures += [batcher.submit(device.run, 100 + value) for value in range(10)]
    device.release()
    results(futures)
    assert sum(batch[0] >= 200 for batch in device.batches[:10]) in {5, 6}


def test_what_is_cancelled_while_it_waits_never_reaches_the_device(batcher: Batcher, device: Device) -> None:
    device.hold(batcher)
    futures = [batcher.submit(device.run, value) for value in range(1, 5)]
    lone = batcher.submit(device.run, 5, bucket="of its own")
    assert futures[1].cancel()
    assert lone.cancel()
    device.release()
    assert results([futures[0], *futures[2:]]) == [2, 6, 8]
    with pytest.raises(CancelledError):
        futures[1].result(timeout=PATIENCE)
    assert batcher.call(lambda: device.batches) == [[1, 3, 4]]


def test_an_item_that_fails_fails_alone(batcher: Batcher, device: Device) -> None:
    device.hold(batcher)
    futures = {value: batcher.submit(device.run, value) for value in (1, 2, -13, 3, 4)}
    device.release()
    with pytest.raises(ModelFailure, match="ValueError") as caught:
        futures.pop(-13).result(timeout=PATIENCE)
    assert isinstance(caught.value.__cause__, ValueError)
    assert results(list(futures.values())) == [2, 4, 6, 8]


def test_our_own_errors_pass_as_they_are(batcher: Batcher) -> None:
    error = RejectedInput("too_large", "this page is too large")

    def run(batch: Sequence[int]) -> Sequence[int]:
        if 1 in batch:
            raise error
        return batch

    assert batcher.submit(run, 1).exception(PATIENCE) is error
    assert batcher.submit(run, 2).result(PATIENCE) == 2


def test_another_number_of_results_than_of_items_is_the_models_failure(batcher: Batcher) -> None:
    with pytest.raises(ModelFailure, match="2 results for 1 items"):
        batcher.submit(lambda batch: [*batch, 1], 1).result(timeout=PATIENCE)


def run_all(batcher: Batcher, device: Device, count: int) -> list[int]:
    """Sizes of the batches that so many items ran in, having gathered."""
    device.hold(batcher)
    device.batches.clear()
    futures = [batcher.submit(device.run, value) for value in range(100, 100 + count)]
    device.release()
    assert results(futures) == [*(2 * value for value in range(100, 100 + count))]
    return device.sizes


def test_what_did_not_fit_is_halved_and_remembered(batcher: Batcher, device: Device) -> None:
    device.room = 5
    assert run_all(batcher, device, 16) == [16, 8, 4, 4, 4, 4]
    assert run_all(batcher, device, 16) == [4, 4, 4, 4]
    device.hold(batcher)
    others = [batcher.submit(device.run, value, bucket="another size") for value in range(1, 6)]
    device.release()
    results(others)
    assert device.sizes[-1] == 5


def test_heavier_batches_are_tried_again_after_many_that_fitted(batcher: Batcher, device: Device) -> None:
    device.room = 5
    run_all(batcher, device, 16)
    sizes = [size for _ in range(60) for size in run_all(batcher, device, 16)]
    assert max(sizes) == 6, "it tries, step by step, how much fits"
    assert sizes.count(5) > 100, "and keeps to what does"
    assert sizes.count(6) < 6, "and seldom tries more"
    device.room = 1000
    for _ in range(1500):
        run_all(batcher, device, 16)
    assert run_all(batcher, device, 16) == [16]


def test_an_item_that_does_not_fit_alone_says_so(batcher: Batcher, device: Device) -> None:
    device.room = 0
    with pytest.raises(ModelFailure, match="out_of_memory"):
        batcher.submit(device.run, 1).result(timeout=PATIENCE)


def cuda(_: int) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def cpu(_: int) -> None:
    torch.empty(2**58)


def python(_: int) -> None:
    raise MemoryError


@pytest.mark.parametrize("fail", [cuda, cpu, python])
def test_every_way_of_being_out_of_memory_is_known(batcher: Batcher, fail: Callable[[int], None]) -> None:
    with pytest.raises(ModelFailure, match="out_of_memory"):
        batcher.submit(lambda batch: [fail(value) for value in batch], 1).result(timeout=PATIENCE)


def test_what_did_not_fit_is_let_go_of_before_the_next_try(batcher: Batcher, device: Device) -> None:
    class Activations:
        pass

    alive: list[bool] = []
    made: list[weakref.ref[Activations]] = []

    def run(batch: Sequence[int]) -> Sequence[int]:
        alive.extend(reference() is not None for reference in made)
        activations = Activations()
        made.append(weakref.ref(activations))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch

    device.hold(batcher)
    futures = [batcher.submit(run, value) for value in (1, 2)]
    device.release()
    results(futures)
    assert len(alive) > 2
    assert not any(alive)


def test_a_call_runs_on_the_device_thread_between_batches(batcher: Batcher, device: Device) -> None:
    future = batcher.submit(device.run, 1)
    assert batcher.call(lambda: threading.current_thread().name) == "device"
    assert future.done()


def test_calls_take_turns_with_batches(make: Make, device: Device) -> None:
    batcher = make(max_items=1)
    device.hold(batcher)
    futures = [batcher.submit(device.run, value) for value in range(1, 7)]
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(batcher.call, lambda: device.run([-1])) for _ in range(3)]
        while batcher._queues.get("call") is None or batcher._queues["call"].count < 3:
            time.sleep(0.001)
        device.release()
        assert [call.result(PATIENCE) for call in calls] == [[-2]] * 3
    results(futures)
    assert [batch[0] for batch in device.batches[:6]].count(-1) == 3


def test_a_call_that_raises_raises_for_its_caller(batcher: Batcher) -> None:
    with pytest.raises(ModelFailure, match="ZeroDivisionError"):
        batcher.call(lambda: 1 // 0)


def test_close_finishes_what_waits_and_refuses_what_follows(make: Make, device: Device) -> None:
    batcher = make(max_items=4)
    device.hold(batcher)
    futures = [batcher.submit(device.run, value) for value in range(1, 7)]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    device.release()
    closing.join(PATIENCE)
    assert [future.result(timeout=0) for future in futures] == [2, 4, 6, 8, 10, 12]
    assert not batcher.alive
    with pytest.raises(TransientFailure, match="device_lost"):
        batcher.submit(device.run, 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dying_device_thread_fails_its_waiters_and_says_so(make: Make, device: Device, deaths: list[str]) -> None:
    batcher = make(max_items=4)
    device.hold(batcher)
    futures = [batcher.submit(device.run, value) for value in (1, -99, 2, 3, 4, 5, 6, 7)]
    futures.append(batcher.submit(device.run, 8, queue="qa"))
    cancelled = batcher.submit(device.run, 9)
    cancelled.cancel()
    device.release()
    for future in futures[:-1]:
        with pytest.raises(TransientFailure, match="device_lost"):
            future.result(timeout=PATIENCE)
    batcher.close()
    assert cancelled.cancelled()
    assert deaths == ["dead"]
    assert not batcher.alive
    with pytest.raises(TransientFailure):
        batcher.submit(device.run, 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("lost", [True, False])
def test_a_fault_after_which_cuda_does_nothing_any_more_ends_the_thread(
    batcher: Batcher, deaths: list[str], lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def synchronize() -> None:
        if lost:
            raise RuntimeError("CUDA error: device-side assert triggered")

    stand_in: Any = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True, synchronize=synchronize))
    monkeypatch.setitem(sys.modules, "torch", stand_in)

    def run(_: Sequence[int]) -> Sequence[int]:
        raise RuntimeError("CUDA error: device-side assert triggered")

    expected = TransientFailure if lost else ModelFailure
    assert isinstance(batcher.submit(run, 1).exception(PATIENCE), expected)
    batcher.close()
    assert deaths == (["dead"] if lost else [])


def test_what_the_device_does_is_counted(batcher: Batcher, device: Device, clock: Clock) -> None:
    def figure(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"queue": "counted", **labels}) or 0.0

    device.hold(batcher)
    device.room = 3
    futures = [batcher.submit(device.run, value, queue="counted") for value in range(1, 5)]
    clock.now += 2
    device.release()
    results(futures)
    batcher.close()
    assert figure("docintake_device_batch_items_count") == 3
    assert figure("docintake_device_batch_items_bucket", le="2.0") == 2
    assert figure("docintake_device_wait_seconds_count") == 4
    assert figure("docintake_device_wait_seconds_sum") == pytest.approx(4 * 2)
    assert figure("docintake_device_seconds_sum") == pytest.approx(0.024 + 2 * 0.022)
    assert figure("docintake_device_out_of_memory_total") == 1


def test_it_says_when_there_is_something_to_do_and_when_nothing_is_left(device: Device) -> None:
    said: list[bool] = []
    idle = threading.Event()

    def hear(busy: bool) -> None:
        said.append(busy)
        (idle.clear if busy else idle.set)()

    batcher = Batcher(max_items=4, max_weight=4, on_death=lambda: None, on_busy=hear)
    for _ in range(2):
        assert results(batcher.submit_all(device.run, [(value, 1) for value in range(4)])) == [0, 2, 4, 6]
        pass_time(batcher, device.clock, 1)
        assert idle.wait(PATIENCE)
    batcher.close()
    assert said == [True, False] * (len(said) // 2)
    assert len(said) >= 4


def test_what_is_handed_in_together_runs_together(batcher: Batcher, device: Device) -> None:
    futures = batcher.submit_all(device.run, [(1, 1), (2, 1), (3, 1)])
    assert results(futures) == [2, 4, 6]
    assert device.batches == [[1, 2, 3]]
