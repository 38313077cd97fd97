"""kombu's Redis transport, taking messages in one step.

kombu takes a message off its queue (BRPOP) and only then notes that it is unacknowledged: a node that is killed in
between, or stopped while Redis' answer is on its way, loses it (celery/celery#4354, #7950). Here a script does both.
"""

import json
from queue import Empty
from time import monotonic, time
from typing import Any, Final

from kombu.transport import redis, virtual

_TAKE: Final = """
local unacked, index = KEYS[#KEYS], KEYS[#KEYS - 1]
local now = redis.call('TIME')[1]
local function note(item)
    local properties = cjson.decode(item).properties
    local from = properties.delivery_info
    local whole = {item, cjson.encode(from.exchange), cjson.encode(from.routing_key)}
    redis.call('HSET', unacked, properties.delivery_tag, '[' .. table.concat(whole, ',') .. ']')
    redis.call('ZADD', index, now, properties.delivery_tag)
end
for queue = 1, #KEYS - 2 do
    local item = redis.call('RPOP', KEYS[queue])
    if item then
        pcall(note, item)
        return {KEYS[queue], item}
    end
end
return false
"""
"""What it notes is what kombu's QoS would: delivery tag → [message, exchange, routing key], and when; but by Redis'
clock, since those of the nodes may differ.
"""


class QoS(redis.QoS):
    """What a channel has taken and not acknowledged."""

    def append(self, message: Any, delivery_tag: str) -> None:
        if self.channel.is_reading:
            # Noted by the script, and not once more by this machine's clock.
            virtual.QoS.append(self, message, delivery_tag)  # type: ignore[no-untyped-call] # kombu has no types
        else:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]

    @property
    def visibility_timeout(self) -> float:
        """Seconds that make kombu, which takes them from this machine's time, arrive at Redis' time."""
        with self.channel.conn_or_acquire() as client:
            seconds, microseconds = client.time()
        return float(self.channel.visibility_timeout + time() - seconds - microseconds / 1e6)


class Channel(redis.Channel):
    """Where kombu waits for a message, this asks for one, and waits a moment when there was none.

    `idle`, a transport option: seconds between looks at empty queues. Redis rounds it up to its own tick of 1 / hz,
    which is 0.1 s by default.
    """

    QoS = QoS
    idle = 0.01
    from_transport_options: Any = (*redis.Channel.from_transport_options, "idle")
    is_reading = False
    """Whether the message at hand is what the script took."""
    _found_none = False
    _brpop_sent_at: Any
    _q_for_pri: Any

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        connection = self.client.connection
        self._in_poll = connection
        self._brpop_sent_at = monotonic()
        if self._found_none:
            # A list that is never filled: the wait is Redis' and not this process's, whose loop goes on.
            connection.send_command("BRPOP", f"{self.global_keyprefix}nothing", self.idle)
        else:
            names = [self._q_for_pri(queue, priority) for priority in self.priority_steps for queue in queues]
            names += [self.unacked_index_key, self.unacked_key]
            keys = [f"{self.global_keyprefix}{name}" for name in names]
            connection.send_command("EVAL", _TAKE, len(keys), *keys)

    def _brpop_read(self, **options: Any) -> Any:
        waited, self._found_none = self._found_none, False
        self.is_reading = True
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call] # kombu has no types
        except Empty:
            self._found_none = not waited
            raise
        finally:
            self.is_reading = False

    def waiting(self, queue: str) -> set[str]:
        """Ids of the tasks whose messages stand in that queue, or are in some node's hands unacknowledged."""
        names = [self._q_for_pri(queue, priority) for priority in self.priority_steps]
        with self.conn_or_acquire() as client, client.pipeline() as pipe:
            for name in names:
                pipe.lrange(f"{self.global_keyprefix}{name}", 0, -1)
            pipe.hvals(f"{self.global_keyprefix}{self.unacked_key}")
            *queued, held = pipe.execute()
        messages = [json.loads(message) for part in queued for message in part]
        messages += [json.loads(message)[0] for message in held]
        return {message["headers"]["id"] for message in messages}


class Transport(redis.Transport):
    Channel = Channel
