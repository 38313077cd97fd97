"""The one thread that touches the device: what many task threads hand in joins into batches on it."""

import math
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, TypeVar

import structlog

from core.errors import IntakeError, ModelFailure, TransientFailure
from worker import metrics

ValueT = TypeVar("ValueT")
ResultT = TypeVar("ResultT")

log = structlog.get_logger()

_CALLS: Final = "call"
"""The queue of `Batcher.call`, which has its turns as any other has."""
_ENOUGH: Final = 0.9
"""Share of those expected that a batch waits for: the last ones are not worth a device that stands still."""
_NEWEST: Final = 0.25
"""Weight of the newest batch in the mean of how many callers come back."""
_LONGEST: Final = 0.04
"""Seconds that a batch waits for company at most."""
_RECENT: Final = 0.05
"""Weight of the newest batch in what batches cost."""
_FLAT: Final = 1e-6
"""Below that spread of their weights, to its mean's square, batches do not tell what an item costs."""
_PATIENCE: Final = 100
"""Batches that must fit before a heavier one is tried again: what did not fit then costs one batch in a hundred."""
_OUT_OF_MEMORY: Final = "out_of_memory"
_SIGNS_OF_IT: Final = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "alloc_failed",
)
"""How torch on the CPU, cuBLAS and ONNX Runtime say so in plain RuntimeErrors."""

Run = Callable[[Sequence[Any]], Collection[Any]]
Key = tuple[Run, Hashable]


class Batcher:
    """Runs what is handed in on a thread of its own, as many items at a time as may share a batch.

    Task threads prepare an item (decoding, tiling, tokenising), hand it in and wait for its future: all of that goes
    on while the device works on others. Only `run` itself is on the device thread, and it returns what is finished:
    arrays in the host's memory, no promises of a stream.

    A batch holds at most `max_items` items and `max_weight` weight of one run and bucket; an item that is heavier
    runs alone. Queues take turns by the device time that they have had, and a queue's items by age.

    An idle device waits for nobody. But when a batch of n items has ended, about n callers are on their way back,
    and a device that took the first of them at once would run batches of 1 and n - 1 in turn for ever. So for at
    most `linger` seconds, and half as long as that batch took, the next batch waits until nine tenths of those have
    come that the batches before suggest. A queue whose callers stay away is soon not waited for at all.

    Where the device is the processor (`on_processor`), callers on their way back need it too, and time in which they
    have it is not lost. There the next batch waits up to three times as long as one takes beside its items, which
    company saves, but no longer than twice what the last one took, nor than `_LONGEST`.

    What fails is halved and tried again, so that an item that fails, fails alone. What did not fit into the memory
    is remembered for its run and bucket: later batches stay below it, and try a heavier one now and then. If the
    thread itself dies, or its device does, all that wait fail with TransientFailure(`device_lost`) and `on_death` is
    called, on that thread. `on_busy` is told when there is something to do and when there is nothing left.
    """

    def __init__(
        self,
        *,
        max_items: int,
        max_weight: int,
        linger: float = 0.004,
        on_processor: bool = False,
        on_death: Callable[[], None],
        on_busy: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._max_items = max_items
        self._max_weight = max_weight
        self._linger = linger
        self._on_processor = on_processor
        self._on_death = on_death
        self._on_busy = on_busy
        self._busy = False
        self._changed = threading.Condition()
        self._queues: dict[str, _Queue] = {}
        self._rooms: dict[int, _Room] = {}
        self._now_served = 0.0
        self._in_hand: Sequence[_Item] = ()
        self._since: float | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="device", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def busy_for(self) -> float:
        """Seconds that what is on the device has been there; 0: nothing is."""
        since = self._since
        return 0.0 if since is None else monotonic() - since

    def submit(
        self,
        run: Callable[[Sequence[ValueT]], Collection[ResultT]],
        value: ValueT,
        *,
        bucket: Hashable = None,
        weight: int = 1,
        queue: str = "classify",
    ) -> "Future[ResultT]":
        """Have `run` take one value in a batch with others of an equal `(run, bucket)`; the result is its alone.

        `weight` is in image tiles or text parts. The future may be cancelled until its batch begins. It fails with
        ModelFailure when the item cannot be run, with TransientFailure when the device is lost, or with what `run`
        raised if that was one of ours. Raises TransientFailure(`device_lost`) once closed.
        """
        return self.submit_all(run, [(value, weight)], bucket=bucket, queue=queue)[0]

    def submit_all(
        self,
        run: Callable[[Sequence[ValueT]], Collection[ResultT]],
        weighed: Sequence[tuple[ValueT, int]],
        *,
        bucket: Hashable = None,
        queue: str = "classify",
    ) -> "list[Future[ResultT]]":
        """`submit` each value with its weight, all at the same time: an idle device takes them together."""
        since = monotonic()
        items = [_Item((run, bucket), value, weight, Future(), since) for value, weight in weighed]
        with self._changed:
            if self._closed:
                raise TransientFailure("device_lost", "this node is stopping; the task goes to another one")
            waiting = self._queues.setdefault(queue, _Queue(queue))
            if not waiting.count:
                # Nobody saves up turns by being away.
                waiting.served = max(waiting.served, self._now_served)
            for item in items:
                waiting.put(item)
            self._tell(busy=True)
            if not waiting.expects(since):
                self._changed.notify()
        return [item.future for item in items]

    def call(self, function: Callable[[], ResultT]) -> ResultT:
        """Run `function` on the device thread, between batches, and wait for what it returns."""
        return self.submit(_call, function, bucket=object(), queue=_CALLS).result()

    def close(self) -> None:
        """Finish what waits, then stop the thread. What is submitted afterwards fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _serve(self) -> None:
        try:
            while self._serve_batch():
                pass
        except BaseException as error:
            log.critical("device thread died", exc_info=True)
            self._fail_everyone(error)
            self._on_death()
            raise

    def _serve_batch(self) -> bool:
        """Run what is next; False when there will be nothing more. Here no batch is kept alive while none runs."""
        batch = self._next()
        if batch is None:
            return False
        self._in_hand = batch.items
        self._work_on(batch)
        self._in_hand = ()
        return True

    def _next(self) -> "_Batch | None":
        """The batch to run now, which may have to be waited for; None: closed, and nothing is left."""
        with self._changed:
            while True:
                now = monotonic()
                queues = [
                    queue
                    for queue in self._queues.values()
                    if queue.count or (queue.expects(now) and not self._closed)
                ]
                if not queues:
                    self._tell(busy=False)
                    if self._closed:
                        return None
                    self._changed.wait()
                    continue
                # One that has nothing yet, but whose callers are coming back, would lose its turns to a busy one.
                queue = min(queues, key=lambda queue: queue.served)
                if queue.expects(now) and not self._closed:
                    self._changed.wait(queue.until - now)
                    continue
                self._now_served = queue.served
                if batch := self._take(queue):
                    return batch

    def _tell(self, *, busy: bool) -> None:
        if busy != self._busy:
            self._busy = busy
            self._on_busy(busy)

    def _take(self, queue: "_Queue") -> "_Batch | None":
        """As many of the oldest item's companions as may run with it; None when all of them were cancelled."""
        key = queue.oldest()
        room = self._room(key)
        items: list[_Item] = []
        weight, full = 0, False
        now = monotonic()
        while (item := queue.first(key)) and not full:
            if items and (len(items) == self._max_items or weight + item.weight > room):
                full = True
            else:
                queue.drop_first(key)
                if item.future.set_running_or_notify_cancel():
                    items.append(item)
                    weight += item.weight
                    queue.figures.waited.observe(now - item.since)
        return _Batch(queue, key, items, full) if items else None

    def _work_on(self, batch: "_Batch") -> None:
        queue, key = batch.queue, batch.key
        parts = [batch.items]
        while parts:
            items = parts.pop()
            weight = sum(item.weight for item in items)
            if len(items) > 1 and weight > self._room(key):
                parts += _halves(items)
                continue
            start = self._since = monotonic()
            outcome = _run(key[0], items)
            self._since = None
            seconds = monotonic() - start
            queue.served += seconds
            queue.cost.took(weight, seconds)
            queue.figures.items.observe(len(items))
            queue.figures.seconds.observe(seconds)
            if isinstance(outcome, IntakeError):
                if outcome.code == _OUT_OF_MEMORY:
                    queue.figures.out_of_memory.inc()
                    _empty_cache()
                    if len(items) > 1:
                        # By hash: a key would keep its run, which may be a model that has had its day.
                        self._rooms.setdefault(hash(key), _Room(weight)).overflow(weight)
                if len(items) > 1:
                    log.warning("batch failed, halving it", size=len(items), weight=weight, code=outcome.code)
                    parts += _halves(items)
                    continue
            else:
                self._fitted(key, weight)
            with self._changed:
                queue.ended(len(items), min(self._max_items, len(items) if batch.full else self._max_items))
            _deliver(items, outcome)
            with self._changed:
                # From here on they can come back: the first of them was told long before the last.
                saved = queue.cost.beside_items if self._on_processor else 0.0
                queue.until = monotonic() + max(min(self._linger, seconds / 2), min(_LONGEST, 2 * seconds, 3 * saved))

    def _room(self, key: Key) -> int:
        room = self._rooms.get(hash(key))
        return self._max_weight if room is None else min(room.limit, self._max_weight)

    def _fitted(self, key: Key, weight: int) -> None:
        room = self._rooms.get(hash(key))
        if room is not None:
            room.fitted(weight)
            if room.limit >= self._max_weight:
                del self._rooms[hash(key)]

    def _fail_everyone(self, error: BaseException) -> None:
        with self._changed:
            self._closed = True
            waiting = [item for queue in self._queues.values() for item in queue.empty()]
        started = [item for item in self._in_hand if not item.future.done()]
        for item in (*started, *(item for item in waiting if item.future.set_running_or_notify_cancel())):
            failure = TransientFailure("device_lost", "the device thread died; its node restarts")
            failure.__cause__ = error
            item.future.set_exception(failure)


@dataclass(frozen=True, slots=True)
class _Item:
    key: Key
    value: Any
    weight: int
    future: Future[Any]
    since: float


@dataclass(frozen=True, slots=True)
class _Batch:
    """Items that run together; `full`: one more that waited would have been too many."""

    queue: "_Queue"
    key: Key
    items: list[_Item]
    full: bool


@dataclass(slots=True)
class _Cost:
    """Seconds of a batch, as a line through what batches of some weight took, newer ones counting more."""

    _weight: float = 0.0
    _seconds: float = 0.0
    _spread: float = 0.0
    _rise: float = 0.0

    def took(self, weight: float, seconds: float) -> None:
        if not self._weight:
            self._weight, self._seconds = weight, seconds
        heavier, longer = weight - self._weight, seconds - self._seconds
        self._weight += _RECENT * heavier
        self._seconds += _RECENT * longer
        self._spread = (1 - _RECENT) * (self._spread + _RECENT * heavier**2)
        self._rise = (1 - _RECENT) * (self._rise + _RECENT * heavier * longer)

    @property
    def beside_items(self) -> float:
        """Seconds of a batch, whatever is in it; half of all while batches have been as heavy as each other."""
        if self._spread < _FLAT * self._weight**2:
            return self._seconds / 2
        return min(self._seconds, max(0.0, self._seconds - self._weight * self._rise / self._spread))


@dataclass(slots=True)
class _Queue:
    """What waits under one name, oldest first in each bucket, and who is expected back.

    `served` is the device time that it has had, in seconds; `until` when nobody is waited for any longer.
    """

    name: str
    count: int = 0
    served: float = 0.0
    until: float = -math.inf
    figures: metrics.DeviceQueue = field(init=False)
    cost: _Cost = field(default_factory=_Cost)
    _buckets: dict[Key, deque[_Item]] = field(default_factory=dict)
    _wanted: int = 0
    _came: int = 0
    _told: int = 0
    _returning: float = 1.0

    def __post_init__(self) -> None:
        self.figures = metrics.DeviceQueue(self.name)

    def put(self, item: _Item) -> None:
        self._buckets.setdefault(item.key, deque()).append(item)
        self.count += 1
        self._came += item.since < self.until

    def oldest(self) -> Key:
        return min(self._buckets, key=lambda key: self._buckets[key][0].since)

    def first(self, key: Key) -> _Item | None:
        return self._buckets[key][0] if key in self._buckets else None

    def drop_first(self, key: Key) -> None:
        bucket = self._buckets[key]
        bucket.popleft()
        self.count -= 1
        if not bucket:
            del self._buckets[key]

    def empty(self) -> list[_Item]:
        items = [item for bucket in self._buckets.values() for item in bucket]
        self._buckets.clear()
        self.count = 0
        return items

    def expects(self, now: float) -> bool:
        """Whether it is worth waiting for those about to come; not while another bucket could run meanwhile."""
        return now < self.until and self.count < self._wanted and len(self._buckets) < 2

    def ended(self, items: int, most: int) -> None:
        """Expect the callers of so many items, who are about to be told; a batch takes no more than `most`."""
        if self._told:
            self._returning += _NEWEST * (min(1.0, self._came / self._told) - self._returning)
        self._wanted = min(most, round(_ENOUGH * (self.count + self._returning * items)))
        self._came, self._told = 0, items
        self.until = math.inf


@dataclass(slots=True)
class _Room:
    """How heavy a batch may be, learned from what did not fit."""

    limit: int
    _known: int = 0
    _fitted: int = 0

    def overflow(self, weight: int) -> None:
        """A batch of that weight did not fit: go back to what did, or to half of it."""
        if self._known >= weight:
            # Something else takes a part of the memory by now.
            self._known = 0
        self.limit = min(self.limit, self._known or max(1, weight // 2))
        self._fitted = 0

    def fitted(self, weight: int) -> None:
        self._known = max(self._known, weight)
        self._fitted += 1
        if self._fitted == _PATIENCE:
            self.limit += max(1, self.limit // 4)
            self._fitted = 0


def _call(functions: Sequence[Callable[[], ResultT]]) -> list[ResultT]:
    return [function() for function in functions]


def _run(run: Run, items: Sequence[_Item]) -> Collection[Any] | IntakeError:
    """The items' results, or why there are none. Raises what leaves the device unusable."""
    try:
        results = run([item.value for item in items])
        if len(results) != len(items):
            return ModelFailure("model_failed", f"the model gave {len(results)} results for {len(items)} items")
    except Exception as error:
        if _is_out_of_memory(error):
            # What did not fit is still held by the frames that the error remembers.
            traceback.clear_frames(error.__traceback__)
        elif _is_lost():
            raise
        return _as_failure(error)
    return results


def _deliver(items: Sequence[_Item], outcome: Collection[Any] | IntakeError) -> None:
    if isinstance(outcome, IntakeError):
        for item in items:
            item.future.set_exception(outcome)
    else:
        for item, result in zip(items, outcome, strict=True):
            item.future.set_result(result)


def _halves(items: list[_Item]) -> tuple[list[_Item], list[_Item]]:
    """The later half first: parts are taken from the end."""
    middle = len(items) // 2
    return items[middle:], items[:middle]


def _is_out_of_memory(error: Exception) -> bool:
    # By name: a node without torch need not import it, and its class stands in several places.
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS_OF_IT)


def _is_lost() -> bool:
    """Whether CUDA fails whatever it is asked for: after a fault in a kernel it does so until the process ends."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def _empty_cache() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _as_failure(error: Exception) -> IntakeError:
    if isinstance(error, IntakeError):
        return error
    if _is_out_of_memory(error):
        failure = ModelFailure(
            _OUT_OF_MEMORY, "this item alone does not fit into the device's memory; see this node's log"
        )
    else:
        failure = ModelFailure("model_failed", f"the model raised {type(error).__name__}; see this node's log")
    failure.__cause__ = error
    return failure
