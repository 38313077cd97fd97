"""Redis as it is to us: as whom and over what line, and what a node does there that this user may not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis
from redis.exceptions import ExecAbortError, NoPermissionError, ResponseError

from core.contract import QUEUES

_NEEDED: Final = (
    *("PING", "INFO", "TIME", "UNWATCH", "EVAL return 0", "EVALSHA 0 0", "SCRIPT|LOAD 0", "SCRIPT|EXISTS 0"),
    *(f"LPUSH ~{queue} 0" for queue in sorted(set(QUEUES.values()))),
    *("RPUSH ~classify 0", "RPOP ~classify", "BRPOP ~nothing 0", "LLEN ~classify", "LINDEX ~classify 0"),
    "LRANGE ~classify 0 0",
    *("HGET ~unacked 0", "HSET ~unacked 0 0", "HDEL ~unacked 0", "HVALS ~unacked", "WATCH ~unacked"),
    *("ZADD ~unacked_index 0 0", "ZREM ~unacked_index 0", "ZRANGE ~unacked_index 0 0", "SET ~unacked_mutex 0"),
    *("SADD ~_kombu.binding.classify 0", "SREM ~_kombu.binding.classify 0", "SMEMBERS ~_kombu.binding.classify"),
    *("ZRANGEBYSCORE ~_kombu.binding_deadlines 0 0", "PEXPIRE ~reply.celery.pidbox 0", "EXISTS ~classify"),
    *("GET ~celery-task-meta-0", "MGET ~celery-task-meta-0", "SETEX ~celery-task-meta-0 1 0"),
    *("DEL ~celery-task-meta-0", "PUBLISH &celery-task-meta-* 0"),
    *("SUBSCRIBE &celery-task-meta-*", "UNSUBSCRIBE &celery-task-meta-*"),
    *("PSUBSCRIBE &/{db}.celery.pidbox", "PUNSUBSCRIBE &/{db}.celery.pidbox"),
    # To publish, any of them; to subscribe to a pattern, that one to the letter.
    *("PUBLISH &/{db}.celeryev/* 0", "PSUBSCRIBE &/{db}.celeryev/worker.*"),
)
"""What kombu, Celery and worker/transport.py send, scripts included. Keys begin with `~` here, channels with `&`."""


def user_of(connection: redis.Redis) -> str:
    return connection.connection_pool.connection_kwargs.get("username") or "default"


def line_to(connection: redis.Redis) -> str:
    """As whom and over what line one is connected, such as `as node, over TLSv1.3`. Raises redis.RedisError."""
    with _link(connection) as link:
        line = "not encrypted"
        if isinstance(link, redis.SSLConnection):
            unchecked = "" if link.cert_reqs else ", the server's certificate unchecked"
            socket: Any = link._sock
            line = f"over {socket.version()}{unchecked}"
    return f"as {user_of(connection)}, {line}"


def lacking(connection: redis.Redis, key_prefix: str) -> list[str]:
    """What a node's user has to be given yet, as Redis' ACL SETUSER takes it: `+llen`, `~docintake:*`.

    Nothing is changed: each command is put into a transaction, when Redis looks at the user's rights, and then the
    transaction is discarded. Where a command is refused as such, its keys are not looked at. Raises redis.RedisError.
    """
    db = connection.connection_pool.connection_kwargs.get("db", 0)
    with _link(connection) as link:
        # An empty transaction does nothing either.
        found = [_refused(link, "MULTI"), _refused(link, "EXEC")]
        if found[0] is None:
            _refused(link, "MULTI")
            found += [_refused(link, needed.format(db=db), key_prefix) for needed in _NEEDED]
            found += [_refused(link, "DISCARD")]
    return list(dict.fromkeys(rule for rule in found if rule))


@contextmanager
def _link(connection: redis.Redis) -> Iterator[Any]:
    """One connection of its own, closed in the end with whatever it was in the middle of."""
    link: Any = connection.connection_pool.get_connection()
    try:
        yield link
    finally:
        link.disconnect()
        connection.connection_pool.release(link)


def _refused(link: Any, needed: str, key_prefix: str = "") -> str | None:
    """What the user lacks to send that; None where it may."""
    name, *words = needed.split()
    place = words[0] if words and words[0][0] in "~&" else ""
    link.send_command(*name.split("|"), *([key_prefix + place[1:], *words[1:]] if place else words))
    try:
        link.read_response()
    except (NoPermissionError, ExecAbortError) as error:
        if "access" not in str(error):
            return f"+{name.lower()}"
        return f"~{key_prefix}*" if place[0] == "~" else f"&{key_prefix}{place[1:]}"
    except ResponseError:
        # That this is no time for it: so it may be sent.
        return None
    return None
