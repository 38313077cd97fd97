"""What Redis holds of a case: messages that wait or are in some node's hands, those to back offices among them, and
results that wait for callers.
"""

import base64
import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Final

from celery import Celery

from core.contract import QUEUES, Outcome
from worker.callback import FORGOTTEN
from worker.case import Case

_CHUNK: Final = 500
"""Messages or results that come at a time."""
_NOTHING: Final = {"document": {"document_id": "0" * 64}}
"""What a request about many documents names for one that was forgotten: the others keep their indexes."""
_FORGOTTEN: Final = Outcome(error=FORGOTTEN).model_dump(mode="json")
_SWAP: Final = (
    "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end"
)


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a case. `tag` is its delivery tag where it is unacknowledged; `rest` is what stays, where it is
    about others as well.
    """

    task_id: str
    key: str
    raw: bytes
    tag: bytes | None
    rest: bytes | None


@dataclass(frozen=True, slots=True)
class Result:
    """What waits for a caller; `rest` is what stays, where it is about others as well."""

    task_id: str
    key: bytes
    rest: bytes | None


class Mail:
    """One broker's messages and results. Raises redis.RedisError, or kombu's OperationalError, when it is away."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._redis = app.backend.client
        self._meta: bytes = app.backend.task_keyprefix

    def messages(self, case: Case) -> list[Message]:
        """Those that are of the case: waiting in queues, or in the hands of nodes, those among them that died."""
        return [*self._waiting(case), *self._held(case)]

    def results(self, case: Case) -> list[Result]:
        """Those that are of the case, whether or not their jobs are still known."""
        found = []
        pattern = re.sub(rb"([\[\]*?\\^])", rb"\\\1", self._meta) + b"*"
        names = self._redis.scan_iter(pattern, count=_CHUNK)
        while keys := list(islice(names, _CHUNK)):
            for key, kept in zip(keys, self._redis.mget(keys), strict=True):
                task_id = key.removeprefix(self._meta).decode(errors="replace")
                meta = None if kept is None else _json(kept)
                content = meta.get("result") if isinstance(meta, dict) else None
                mine = case.has_result(task_id, content)
                if mine is True:
                    found.append(Result(task_id, key, None))
                elif mine and isinstance(meta, dict):
                    outcomes = _replaced(meta["result"]["outcomes"], mine, _FORGOTTEN)
                    rest = {**meta, "result": {**meta["result"], "outcomes": outcomes}}
                    found.append(Result(task_id, key, json.dumps(rest).encode()))
        return found

    def erase_message(self, message: Message) -> None:
        """Nothing happens when it was taken, or acknowledged, since it was found."""
        with self._redis.pipeline() as pipe:
            if message.tag is None:
                if message.rest is not None:
                    pipe.linsert(message.key, "BEFORE", message.raw, message.rest)
                pipe.lrem(message.key, 1, message.raw)
            elif message.rest is not None:
                pipe.eval(_SWAP, 1, message.key, message.tag, message.raw, message.rest)
            else:
                pipe.hdel(message.key, message.tag)
                pipe.zrem(self._unacked[1], message.tag)
            pipe.execute()

    def erase_result(self, result: Result) -> None:
        if result.rest is None:
            self._redis.delete(result.key)
        else:
            self._redis.set(result.key, result.rest, xx=True, keepttl=True)

    def redact(self, task_id: str, document_ids: Collection[str]) -> None:
        """Take documents' ids out of what waits for the caller of a task that may have listed them."""
        key = self._meta + task_id.encode()
        kept = self._redis.get(key)
        if kept is not None:
            clean = re.sub("|".join(document_ids).encode(), b"...", kept)
            self._redis.set(key, clean, xx=True, keepttl=True)

    def _waiting(self, case: Case) -> Iterator[Message]:
        for key in self._lists(case.queues):
            start = 0
            # From the end where messages come in: one that moves on meanwhile is met twice rather than never.
            while chunk := self._redis.lrange(key, start, start + _CHUNK - 1):
                start += len(chunk)
                for raw in chunk:
                    message = _json(raw)
                    task_id, mine = _belongs(case, message)
                    if mine:
                        rest = None if mine is True else json.dumps(_without(message, mine)).encode()
                        yield Message(task_id, key, raw, None, rest)

    def _held(self, case: Case) -> Iterator[Message]:
        key, _ = self._unacked
        for tag, raw in self._redis.hscan_iter(key, count=_CHUNK):
            whole: Any = _json(raw)
            message, *where = whole if isinstance(whole, list) and whole else [None]
            task_id, mine = _belongs(case, message)
            if mine:
                rest = None if mine is True else json.dumps([_without(message, mine), *where]).encode()
                yield Message(task_id, key, raw, tag, rest)

    def _lists(self, queues: Collection[str]) -> list[str]:
        with self._channel() as channel:
            every = sorted({*QUEUES.values(), *queues})
            lists = (each for queue in every for each in channel._lists(self._redis, queue))
            return [f"{channel.global_keyprefix}{name}" for _, name in lists]

    @cached_property
    def _unacked(self) -> tuple[str, str]:
        """Keys of the hash of what is unacknowledged, and of its index."""
        with self._channel() as channel:
            prefix = channel.global_keyprefix
            return f"{prefix}{channel.unacked_key}", f"{prefix}{channel.unacked_index_key}"

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        with self._app.connection_for_read() as connection:
            # By itself it would try for a long time.
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
            yield connection.default_channel


def _belongs(case: Case, message: Any) -> tuple[str, bool | list[int]]:
    """A message's task id, and what `Case.has_request` says of it."""
    try:
        task_id = str(message["headers"]["id"])
        _, request, _ = _body(message)
    except (TypeError, KeyError, ValueError, RecursionError):
        # Nothing that a node of ours could do anything with.
        return "", False
    return task_id, case.has_request(task_id, request)


def _body(message: dict[str, Any]) -> Any:
    body = message["body"]
    return json.loads(base64.b64decode(body) if message["properties"].get("body_encoding") == "base64" else body)


def _without(message: Any, indexes: list[int]) -> dict[str, Any]:
    """A message about many documents without those."""
    args, request, options = _body(message)
    if "outcome" in request:
        result = request["outcome"]["result"]
        told = {**result, "outcomes": _replaced(result["outcomes"], indexes, _FORGOTTEN)}
        request = {"outcome": {**request["outcome"], "result": told}}
    else:
        request = {**request, "documents": _replaced(request["documents"], indexes, _NOTHING)}
    rest = json.dumps([args, request, options])
    return {
        **message,
        "body": base64.b64encode(rest.encode()).decode(),
        "properties": {**message["properties"], "body_encoding": "base64"},
        # Senders that set none of their own show their arguments there.
        "headers": {**message["headers"], "argsrepr": "", "kwargsrepr": ""},
    }


def _replaced(items: list[Any], indexes: list[int], by: Any) -> list[Any]:
    return [by if index in indexes else item for index, item in enumerate(items)]


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
