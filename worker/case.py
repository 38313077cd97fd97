"""A case: a document, or all that a back office sent under one of its own ids, with everything that names it."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from core.contract import CLASSIFY_MANY
from core.contract.classify import MANY_LIMIT
from db import queries


@dataclass(frozen=True, slots=True)
class Case:
    """What belongs to a case by what the database knows.

    `documents` are the ids of its own documents, `places` the URIs that they alone are fetched from, and `shared`
    those ids of documents that others use as well. `tasks` are the ids of its tasks, of which those that are parts
    of a message are named `<task id>/<index>`. `queues` are those of back offices that their outcomes went to.
    """

    external_id: str | None
    documents: frozenset[str]
    shared: frozenset[str]
    places: frozenset[str]
    tasks: frozenset[str]
    queues: frozenset[str] = frozenset()

    @classmethod
    def of_document(cls, connection: Connection, document_id: str) -> "Case":
        """Everything about one document, whoever sent it."""
        return cls._around(connection, None, {document_id}, set(), set())

    @classmethod
    def of_external_id(cls, connection: Connection, external_id: str) -> "Case":
        """All tasks that were sent under this id, and everything about those of their documents that nobody sent
        under another one.
        """
        tasks = queries.tasks_for(connection, external_id)
        documents = queries.documents_about(connection, tasks)
        shared = queries.documents_of_others(connection, documents, external_id)
        return cls._around(connection, external_id, documents - shared, shared, tasks)

    @classmethod
    def _around(
        cls, connection: Connection, external_id: str | None, documents: set[str], shared: set[str], tasks: set[str]
    ) -> "Case":
        places = queries.places_of(connection, documents)
        tasks = tasks | queries.tasks_about(connection, documents)
        tasks |= queries.tasks_naming(connection, documents, places, tasks)
        tasks |= _whole_messages(connection, tasks)
        queues = queries.callback_queues(connection, tasks | _messages(tasks))
        return cls(external_id, *map(frozenset, (documents, shared, places, tasks, queues)))

    def has_request(self, task_id: str, request: Any) -> bool | list[int]:
        """Whether a message's request belongs to the case; of one about many documents that do not all belong to it,
        the indexes of those that do.
        """
        if not isinstance(request, Mapping):
            return task_id in self.tasks
        if isinstance(outcome := request.get("outcome"), Mapping):
            return self._is_told(outcome)
        named = (
            task_id in self.tasks
            or self._is_mine(request.get("external_id"))
            or _is_in(self.tasks, request.get("task_id"))
            or self._names(request.get("document"))
        )
        items = request.get("documents")
        if named or not isinstance(items, list):
            return named
        return _all_or_some([self._has_item(f"{task_id}/{index}", item) for index, item in enumerate(items)])

    def has_result(self, task_id: str, result: Any) -> bool | list[int]:
        """The same of what waits for a task's caller."""
        outcomes = result.get("outcomes") if isinstance(result, Mapping) else None
        if task_id in self.tasks or not isinstance(outcomes, list):
            return task_id in self.tasks or self._tells_of(result)
        return _all_or_some([self._has_outcome(f"{task_id}/{index}", item) for index, item in enumerate(outcomes)])

    def _is_told(self, outcome: Mapping[str, Any]) -> bool | list[int]:
        """The same of what is on its way to a back office."""
        if self._is_mine(outcome.get("external_id")):
            return True
        return self.has_result(str(outcome.get("task_id")), outcome.get("result"))

    def _has_item(self, task_id: str, item: Any) -> bool:
        return self._names(item) or self.has_request(task_id, item) is True

    def _has_outcome(self, task_id: str, outcome: Any) -> bool:
        return task_id in self.tasks or (isinstance(outcome, Mapping) and self._tells_of(outcome.get("result")))

    def _tells_of(self, result: Any) -> bool:
        if not isinstance(result, Mapping):
            return False
        document = result.get("document")
        about = document if isinstance(document, Mapping) else result
        return _is_in(self.documents, about.get("document_id")) or self._is_mine(result.get("external_id"))

    def _is_mine(self, external_id: Any) -> bool:
        return external_id is not None and external_id == self.external_id

    def _names(self, document: Any) -> bool:
        if not isinstance(document, Mapping):
            return _is_in(self.places, document)
        content = document.get("content")
        return (
            _is_in(self.places, document.get("uri"))
            or _is_in(self.documents, document.get("document_id"))
            or (isinstance(content, str) and _is_in(self.documents, _sha256(content)))
        )


def _is_in(known: frozenset[str], value: Any) -> bool:
    # Anybody may have sent anything.
    return isinstance(value, str) and value in known


def _all_or_some(mine: list[bool]) -> bool | list[int]:
    return any(mine) if all(mine) or not any(mine) else [index for index, is_mine in enumerate(mine) if is_mine]


def _messages(tasks: set[str]) -> set[str]:
    """Ids of the tasks that these are parts of."""
    return {task_id.rpartition("/")[0] for task_id in tasks if task_id.rpartition("/")[2].isdecimal()}


def _whole_messages(connection: Connection, tasks: set[str]) -> set[str]:
    """Ids of the tasks about many documents whose parts are all among these."""
    known = queries.tasks_among(connection, _messages(tasks))
    whole = set()
    for parent, (task, _) in known.items():
        parts = queries.tasks_among(connection, [f"{parent}/{index}" for index in range(MANY_LIMIT)])
        if task == CLASSIFY_MANY and parts.keys() <= tasks:
            whole.add(parent)
    return whole


def _sha256(content: str) -> str | None:
    """Of what a request holds inline, as core.documents decodes it; None where that is no base64."""
    try:
        return hashlib.sha256(base64.b64decode("".join(content.split()), validate=True)).hexdigest()
    except (binascii.Error, ValueError):
        return None
