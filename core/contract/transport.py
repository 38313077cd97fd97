"""kombu's Redis transport for those who send much: a channel keeps what it talks to Redis with."""

from typing import Any

from kombu.transport import redis


class Channel(redis.Channel):
    _at_hand: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        # kombu makes one for every command, which costs as much as the command.
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call] # kombu has no types
        if self._at_hand is None or self._at_hand.connection_pool is not self.pool:
            self._at_hand = super()._create_client()  # type: ignore[no-untyped-call]
        return self._at_hand


class Transport(redis.Transport):
    Channel = Channel
