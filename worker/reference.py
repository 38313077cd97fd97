"""docs/configuration.md and docs/contract.md, as the settings and the contract themselves tell them."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, IPvAnyNetwork, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from core import contract
from core.contract import ANSWER, CLASSIFY, CLASSIFY_MANY, CORRECT, PRIORITIES, QUEUES, RETRAIN, Wire
from core.settings import Section, Settings

MODELS: Final[dict[str, type[Wire]]] = {
    model.__name__: model
    for model in (getattr(contract, name) for name in contract.__all__)
    if isinstance(model, type) and issubclass(model, Wire) and model is not Wire
}
"""Every model of the contract, by name."""

_TASKS: Final = {
    CLASSIFY: ("ClassifyRequest", "ClassifyResult"),
    CLASSIFY_MANY: ("ClassifyManyRequest", "ClassifyManyResult"),
    ANSWER: ("AnswerRequest", "AnswerResult"),
    CORRECT: ("CorrectRequest", "CorrectResult"),
    RETRAIN: ("RetrainRequest", "RetrainResult"),
}
CODES: Final[dict[str, dict[str, str]]] = {
    "rejected": {
        "bad_request": "the message is no such request; the error names the fields",
        "not_allowed": "the document lies outside the roots that the worker may read",
        "not_found": "nothing stands at the URI",
        "bad_uri": "the URI is none, or of a kind that is not read here",
        "not_a_file": "a folder stands at the URI",
        "not_readable": "the worker may not read what stands there",
        "empty": "the document has no bytes",
        "unsupported_type": "it is none of the kinds that are read",
        "unreadable": "it is damaged, or not what it says it is",
        "encrypted": "it asks for a password",
        "too_large": "it has more bytes than `documents.max_bytes`, or than may come inside a message",
        "too_many_pixels": "a page has more than `documents.max_pixels`",
        "too_many_pages": "it has more pages than `documents.max_pages`, or more are asked for than `max_pages_read`",
        "no_such_page": "a page is asked for that it does not have",
        "reading_timeout": "a page took longer than `reading.timeout`",
        "reading_memory": "a page took more memory than `reading.memory`",
        "reading_crashed": "a page made the process that read it crash, twice",
        "unknown_class_set": "no such class set is published",
        "unknown_class": "the class set has no such class",
        "unknown_document": "no document with this id was seen before",
        "unknown_task": "no classification has this task id",
        "document_gone": "the document came inside a message, and was not kept",
        "document_changed": "another file stands at the document's URI by now",
        "task_id_taken": "the task id belongs to another request",
        "answers_gone": "the answers of this task were removed",
        "correction_gone": "the correction of this task was removed",
    },
    "failed": {
        "poison": "its node died `node.max_attempts` times while it ran: look at the document",
        "out_of_memory": "a single page does not fit into the device's memory",
        "model_failed": "the model raised an error; the node's log has more",
        "model_missing": "the model's files are not on this node",
        "unusable_answer": "the model's answer could not be used",
        "time_limit": "a run took longer than `training.time_limit`",
        "fetch_failed": "the document could not be fetched, after `node.max_retries` retries",
        "fetch_timeout": "fetching it took longer than `documents.fetch_timeout`, as often",
        "unexpected": "a fault of ours; the node's log has more",
    },
}
"""Kind of error → code → what happened. A code that is none of these is to be taken as its kind says."""


def settings_page() -> str:
    """docs/configuration.md."""
    sections = "\n".join(_section(name, field) for name, field in Settings.model_fields.items() if _model(field))
    top = [row for name, field in Settings.model_fields.items() if not _model(field) for row in _setting(name, field)]
    return f"""# Configuration

Made by `docintake settings --markdown` from the settings themselves; a test says so.

One YAML file, named by `--config` or `$DOCINTAKE_CONFIG`, else `configs/embedded.yaml`. An environment variable wins
over the file: `DOCINTAKE_`, then the setting's name in capitals with `__` for each dot. Lists and mappings are JSON
there: `DOCINTAKE_DOCUMENTS__ROOTS='["/srv/inbox", "s3://scans/"]'`. A setting that does not exist is refused by name.
`docintake settings` prints what applies.

{_table(("setting", "is", "default", "meaning"), top)}
{sections}"""


def contract_page() -> str:
    """docs/contract.md."""
    tasks = [
        (f"`{task}`", f"`{QUEUES[task]}`", _link(request), _link(result))
        for task, (request, result) in _TASKS.items()
    ]
    priorities = ", ".join(f"{number} for `{name}`" for name, number in PRIORITIES.items())
    codes = "\n".join(
        f"### {kind}\n{_table(('code', 'what happened'), [(f'`{code}`', said) for code, said in listed.items()])}"
        for kind, listed in CODES.items()
    )
    models = "\n".join(_described(name, model) for name, model in MODELS.items())
    return f"""# The contract

Made by `docintake schema --markdown` from the contract's own models; a test says so.
`docintake schema ClassifyRequest` prints a model as JSON Schema.

Celery protocol 2, JSON alone. A request's fields are the task's keyword arguments; one that is not listed is refused.

{_table(("task", "queue", "request", "result"), tasks)}
**Priority** is the message's: {priorities}; a message without one is served first.

**Headers**: `sent_at`, seconds since 1970, has the waiting measured; `tenant` makes tenants take turns; `traceparent`
(W3C) joins the sender's trace.

**Task ids** are the sender's to choose: one that has ended is answered with what it ended with.

## Errors
A request without a result raises an error with two arguments, code and message. `RejectedInput` (*rejected*): mend
the request or its document. `ModelFailure` (*failed*): call the operator; `docintake jobs retry` starts the job anew.
What passes by itself is retried, and never seen here.

{codes}
## Models
{models}"""


def _section(name: str, field: FieldInfo) -> str:
    model = _model(field)
    assert model is not None  # noqa: S101 - its caller has looked
    own = inspect.cleandoc(model.__doc__ or "") if "__doc__" in model.__dict__ else ""
    rows = [row for key, item in model.model_fields.items() for row in _setting(f"{name}.{key}", item)]
    return f"## {name}\n" + (f"{own}\n\n" if own else "") + _table(("setting", "is", "default", "meaning"), rows)


def _setting(name: str, field: FieldInfo) -> Iterator[tuple[str, ...]]:
    model = _model(field)
    if model is not None:
        for key, item in model.model_fields.items():
            yield from _setting(f"{name}.{key}", item)
        return
    variable = f"DOCINTAKE_{name.replace('.', '__').upper()}"
    default = field.get_default(call_default_factory=True)
    # A section that a mapping's values are: its fields are told with it.
    inner = next((part for part in get_args(field.annotation) if _is_section(part)), None)
    fields = f" Each with {', '.join(f'`{key}`' for key in inner.model_fields)}." if inner else ""
    yield f"`{name}`<br>`{variable}`", _limited(field), _value(default), (field.description or "") + fields


def _described(name: str, model: type[BaseModel]) -> str:
    rows = [
        (
            f"`{key}`",
            _limited(field),
            "required" if field.is_required() else _value(field.get_default(call_default_factory=True)),
            field.description or "",
        )
        for key, field in model.model_fields.items()
    ]
    said = inspect.cleandoc(model.__doc__ or "")
    return f"### {name}\n{said}\n\n{_table(('field', 'is', 'default', 'meaning'), rows)}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *(tuple(_cell(cell) for cell in row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", r"\|")


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _model(field: FieldInfo) -> type[BaseModel] | None:
    return field.annotation if _is_section(field.annotation) else None  # type: ignore[return-value]


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _limited(field: FieldInfo) -> str:
    """A field's type in words, with its limits."""
    said = _type(field.annotation)
    signs = (("gt", "over"), ("ge", "from"), ("lt", "below"), ("le", "up to"))
    limits = [
        f"{word} {limit:,}"
        for item in field.metadata
        for sign, word in signs
        if (limit := getattr(item, sign, None)) is not None
    ]
    return " ".join([said, *limits])


_WORDS: Final[Mapping[Any, str]] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    SecretStr: "secret text",
    Decimal: "decimal number",
    date: "date",
    Path: "path",
    NoneType: "none",
    IPvAnyNetwork: "network",
    Any: "anything",
}


def _type(annotation: Any) -> str:
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        said = ", ".join(f"`{part}`" for part in parts)
    elif origin in (Union, UnionType):
        said = " or ".join(_type(part) for part in parts)
    elif origin in (tuple, list):
        said = f"list of {_type(parts[0])}"
    elif origin is dict:
        said = f"mapping to {_type(parts[1])}"
    elif hasattr(annotation, "__metadata__"):
        said = _type(parts[0])
    else:
        name = annotation.__name__
        said = _link(name) if name in MODELS else name
    return said


def _value(default: Any) -> str:
    if default is None or default is PydanticUndefined:
        return "none"
    if isinstance(default, tuple | list | dict) and not default:
        return "empty"
    said = default if isinstance(default, str) else json.dumps(default, default=str)
    return f"`{said}`" if said else "empty"
