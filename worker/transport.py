"""kombu's Redis transport, taking messages in one step and fairly.

kombu takes a message off its queue (BRPOP) and only then notes that it is unacknowledged: a node that is killed in
between, or stopped while Redis' answer is on its way, loses it (celery/celery#4354, #7950). Here a script does both,
`take.lua`, by Redis' clock, since those of nodes may differ. It also lets tenants take turns.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from time import monotonic, time
from typing import Any, Final

from kombu.transport import redis, virtual
from kombu.utils.json import loads
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.contract import transport

_TAKE: Final = Path(__file__).with_name("take.lua").read_text(encoding="utf-8")
_SORTED_AT_A_TIME: Final = 100
_SHORTEST: Final = 0.001
"""Seconds between the first two looks at empty queues."""
_ASCENT: Final = 4
"""One message of so many is looked for at a lower priority first: so none starves."""
_TOGETHER: Final = 8
"""Messages that a node takes with one look, at most, where it has room for them."""


@dataclass(frozen=True, slots=True)
class Head:
    """What stands in one list: how many messages, and when the oldest of them was sent, by its sender's clock; none
    where it does not say.
    """

    priority: int
    messages: int
    sent_at: float | None


class QoS(redis.QoS):
    """What a channel has taken and not acknowledged."""

    def append(self, message: Any, delivery_tag: str) -> None:
        if self.channel.is_reading:
            # Noted by the script, and not once more by this machine's clock.
            virtual.QoS.append(self, message, delivery_tag)  # type: ignore[no-untyped-call] # kombu has no types
        else:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: str) -> None:
        if self.channel.groups_acks and self.channel.active_queues:
            # Said with the next look for a message.
            self.channel.done.append(delivery_tag)
            self.channel.hurry()
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
        else:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]

    def restore_visible(self, *args: Any, **options: Any) -> None:
        """Note that this node lives, so that what it is at work on stays its own however long that takes, and now and
        then give back what dead ones held.
        """
        if self._delivered:
            with self.channel.conn_or_acquire() as client:
                seconds, _ = client.time()
                client.zadd(self.unacked_index_key, dict.fromkeys(self._delivered, seconds), xx=True)
        super().restore_visible(*args, **options)  # type: ignore[no-untyped-call] # kombu has no types

    @property
    def visibility_timeout(self) -> float:
        """Seconds that make kombu, which takes them from this machine's time, arrive at Redis' time."""
        with self.channel.conn_or_acquire() as client:
            seconds, microseconds = client.time()
        return float(self.channel.visibility_timeout + time() - seconds - microseconds / 1e6)


class Channel(transport.Channel):
    """Where kombu waits for a message, this asks for one, and waits a moment when there was none: briefly once a task
    has ended, since whoever waited for it may send the next one, and then longer and longer.

    Transport options are `idle`: seconds between looks at empty queues, at most; and `groups_acks`: whether what is
    acknowledged is told with the next look. A trainer, which does not look again before its run has ended, tells it
    at once.
    """

    QoS = QoS
    idle = 0.01
    groups_acks = True
    from_transport_options: Any = (*transport.Channel.from_transport_options, "idle", "groups_acks")
    is_reading = False
    """Whether the message at hand is what the script took."""
    _ascents = 0
    _since_ascent = 0
    """Messages that were taken by looks at the most urgent first."""
    _found_none = False
    _pause = 0.0
    """Seconds before the last look; none once a task has ended."""
    _alarm: Any = None
    """Ends the pause."""
    _brpop_sent_at: Any
    _in_poll: Any
    _q_for_pri: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        self._unacknowledged: set[str] = set()
        self.done: list[str] = []
        """Tags of messages that are acknowledged, which Redis has not been told yet."""
        self._told = self._room = 0
        self._looks: dict[tuple[str, ...], tuple[int, bytes]] = {}
        """What was asked before: numbers of words, and the words as Redis' protocol has them, by lists."""
        super().__init__(*args, **options)  # type: ignore[no-untyped-call] # kombu has no types

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **options: Any) -> Any:
        if no_ack:
            # Nobody would ever take the note away.
            self._unacknowledged.add(queue)
            self._looks.clear()
        return super().basic_consume(queue, no_ack, *args, **options)  # type: ignore[no-untyped-call]

    def basic_cancel(self, consumer_tag: str) -> Any:
        found = super().basic_cancel(consumer_tag)  # type: ignore[no-untyped-call]
        if not self.active_queues:
            self._tell_of_done()
        return found

    def close(self) -> None:
        try:
            if not self.closed:
                self._tell_of_done()
        finally:
            # Also where Redis is away: what it was not told comes back, and has ended.
            super().close()  # type: ignore[no-untyped-call]

    def _tell_of_done(self) -> None:
        """Where no look for a message will come soon that could say so."""
        if self.done:
            with self.conn_or_acquire() as client, client.pipeline() as pipe:
                pipe.zrem(self.unacked_index_key, *self.done).hdel(self.unacked_key, *self.done).execute()
            self.done.clear()

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues or self._alarm is not None:
            return
        connection = self.client.connection
        self._in_poll = connection
        self._brpop_sent_at = monotonic()
        if self._found_none:
            # Without a loop that wakes this process, Redis has to: by a list that is never filled, at its next tick.
            connection.send_command("BRPOP", f"{self.global_keyprefix}nothing", self.idle)
        else:
            lists = tuple(self._q_for_pri(queue, priority) for priority in self._priorities() for queue in queues)
            look = self._looks.get(lists)
            if look is None:
                look = self._looks[lists] = self._look(lists)
            (count, packed), done = look, [tag.encode() for tag in self.done]
            self._told, self._room = len(done), self._room_now()
            rest = _packed([b"%d" % self._room, *done])
            connection.send_packed_command([b"*%d\r\n%s%s" % (count + 1 + len(done), packed, rest)])

    def _room_now(self) -> int:
        """Messages that may be taken at once: one where nobody but their taker would hear of the others."""
        if self.connection.loop is None:
            return 1
        most = round(self._since_ascent / (_ASCENT - 1)) if self._ascends else _TOGETHER
        places = self.qos.can_consume_max_estimate()
        # Where there are none, kombu has not come here.
        return most if places is None else max(1, min(most, places))

    def _look(self, lists: Iterable[str]) -> tuple[int, bytes]:
        """Each message costs one: it is put into Redis' words once and not by redis-py each time."""
        keys = [f"{self.global_keyprefix}{name}" for name in (*lists, self.unacked_index_key, self.unacked_key)]
        notes = [str(int(name.split(self.sep)[0] not in self._unacknowledged)) for name in lists]
        words = ["EVAL", _TAKE, str(len(keys)), *keys, self.sep, str(_SORTED_AT_A_TIME), *notes]
        return len(words), _packed(word.encode() for word in words)

    @property
    def _ascends(self) -> bool:
        return self._since_ascent >= _ASCENT - 1 and len(self.priority_steps) > 1

    def _priorities(self) -> list[int]:
        """In which order to look: the most urgent first, but for one message in four."""
        steps = list(self.priority_steps)
        if self._ascends:
            steps.insert(0, steps.pop(1 + self._ascents % (len(steps) - 1)))
        return steps

    def _brpop_read(self, **options: Any) -> Any:
        waited, self._found_none = self._found_none, False
        told, self._told = self._told, 0
        try:
            found = self._answer(**options)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()  # type: ignore[no-untyped-call] # kombu has no types
        del self.done[:told]
        if len(found) < 2 * self._room and self.connection.loop is not None:
            self._rest()
        if not found:
            self._found_none = self.connection.loop is None and not waited
            raise Empty
        if self._ascends:
            self._ascents, self._since_ascent = self._ascents + 1, 0
        else:
            self._since_ascent += len(found) // 2
        self._give_out(found)
        if not self.qos.can_consume():
            # Its places are all taken: the next look may be long in coming.
            self._tell_of_done()
        return True

    def _answer(self, **options: Any) -> list[bytes]:
        """Lists and messages in turn."""
        try:
            return self.client.parse_response(self.client.connection, "EVAL", **options) or []
        except self.connection_errors:
            # The next look connects anew.
            self.client.connection.disconnect()
            raise

    def _give_out(self, found: list[bytes]) -> None:
        self.is_reading = True
        try:
            with ExitStack() as each:
                # Last in, first out; and one that cannot be given out takes no other along.
                for name, message in zip(found[-2::-2], found[::-2], strict=True):
                    each.callback(self._give, name, message)
        finally:
            self.is_reading = False

    def _give(self, name: bytes, message: bytes) -> None:
        queue = name.decode().removeprefix(self.global_keyprefix).rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        self.connection._deliver(loads(message), queue)  # type: ignore[no-untyped-call]

    def _rest(self) -> None:
        self._pause = min(2 * self._pause or _SHORTEST, self.idle)
        self._alarm = self.connection.loop.call_later(self._pause, self._wake)

    def _wake(self) -> None:
        self._alarm = None

    def hurry(self) -> None:
        """Look at once, and then after the briefest pause."""
        self._pause = 0.0
        if self._alarm is not None:
            self._alarm.cancel()
            self._wake()

    def _subscribe(self) -> None:
        # Where the line is cut, redis-py would connect anew by itself, and then wait for whatever comes next, be it
        # for ever, and the node's loop with it.
        self.subclient.connection.retry = Retry(NoBackoff(), 0)
        super()._subscribe()  # type: ignore[no-untyped-call] # kombu has no types

    def _lists(self, client: Any, queue: str) -> Iterator[tuple[int, str]]:
        """Priorities and names of the lists in which messages of that queue stand, tenants' own among them."""
        for priority in self.priority_steps:
            name = self._q_for_pri(queue, priority)
            yield priority, name
            tenants = client.lrange(f"{self.global_keyprefix}{name}{self.sep}tenants", 0, -1)
            yield from ((priority, f"{name}{self.sep}tenant{self.sep}{tenant.decode()}") for tenant in tenants)

    def _size(self, queue: str) -> int:
        with self.conn_or_acquire() as client:
            return sum(client.llen(name) for _, name in self._lists(client, queue))

    def heads(self, queue: str) -> list[Head]:
        """What each list of that queue holds, where it holds something."""
        with self.conn_or_acquire() as client:
            lists = list(self._lists(client, queue))
            with client.pipeline(transaction=False) as pipe:
                for _, name in lists:
                    pipe.llen(name).lindex(f"{self.global_keyprefix}{name}", -1)
                answers = pipe.execute()
        counts, oldest = answers[::2], answers[1::2]
        return [
            Head(priority, count, _sent_at(message))
            for (priority, _), count, message in zip(lists, counts, oldest, strict=True)
            if count
        ]

    def waiting(self, queue: str) -> set[str]:
        """Ids of the tasks whose messages stand in that queue, or are in some node's hands unacknowledged."""
        with self.conn_or_acquire() as client, client.pipeline() as pipe:
            for _, name in self._lists(client, queue):
                pipe.lrange(f"{self.global_keyprefix}{name}", 0, -1)
            pipe.hvals(f"{self.global_keyprefix}{self.unacked_key}")
            *queued, held = pipe.execute()
        messages = [json.loads(message) for part in queued for message in part]
        messages += [json.loads(message)[0] for message in held]
        # Others' messages may have no ids.
        return {task_id for message in messages if (task_id := message["headers"].get("id"))}


def _packed(words: Iterable[bytes]) -> bytes:
    """As RESP, Redis' protocol, has the words of a command."""
    return b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _sent_at(message: bytes | None) -> float | None:
    match json.loads(message or "null"):
        case {"headers": {"sent_at": int() | float() as sent_at}}:
            return float(sent_at)
    return None


class _Loop:
    """A node's, which is told of each line once: kombu tells it of all of them before each look, in system calls that
    fail.
    """

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def add_reader(self, line: int, callback: Any, *args: Any) -> None:
        if self._loop.readers.get(line) != (callback, args):
            self._loop.add_reader(line, callback, *args)


class Transport(redis.Transport):
    Channel = Channel
    loop: Any = None
    """A node's, which wakes it by its own clock; whoever else receives messages has none."""

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        super().register_with_event_loop(connection, _Loop(loop))  # type: ignore[no-untyped-call] # kombu has no types
        self.loop = loop
