"""How a request says which document it means, and how a result says which one it was."""

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

INLINE_LIMIT = 1024 * 1024
"""Bytes of a document that may travel inside a message; larger ones belong behind a URI."""


DEEPEST = 64
"""Levels of lists and objects in one another that a message may have."""
DATA_LIMIT = 64 * 1024
"""Bytes, as JSON, of what a request carries for the back office alone."""
_DEEPEST_DATA = 32


def _fault(value: Any, deepest: int) -> str | None:
    """Neither JSON as PostgreSQL keeps it nor UTF-8 has a place for NUL characters and halves of surrogate pairs."""
    if isinstance(value, str):
        return None if _is_storable(value) else "a NUL character or half of a surrogate pair"
    if not isinstance(value, dict | list | tuple):
        return None
    if deepest == 0:
        return "too many levels of lists and objects"
    parts = (*value, *value.values()) if isinstance(value, dict) else value
    return next((fault for part in parts if (fault := _fault(part, deepest - 1))), None)


def _is_storable(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _check_data(value: dict[str, Any]) -> dict[str, Any]:
    if _fault(value, _DEEPEST_DATA):
        raise ValueError(f"no more than {_DEEPEST_DATA} levels of lists and objects are kept")
    try:
        size = len(json.dumps(value, default=str, allow_nan=False))
    except ValueError as error:
        raise ValueError("NaN and infinity are no JSON") from error
    if size > DATA_LIMIT:
        raise ValueError(f"no more than {DATA_LIMIT:,} bytes are kept")
    return value


Data = Annotated[dict[str, Any], AfterValidator(_check_data)]
"""JSON of the sender's own: of limited size and depth."""


class Wire(BaseModel):
    """What every model on the wire has in common: immutable, and unknown fields are refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if isinstance(value, dict):
            faults = {
                name: fault
                for name, part in value.items()
                if name in cls.model_fields and (fault := _fault(part, DEEPEST))
            }
            if faults:
                raise ValueError("; ".join(f"{name} holds {fault}" for name, fault in faults.items()))
        return value


_LOGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:[/\\]{2}|[^/?#\\]*:)[^/?#\\]*@")


def _without_login(value: str) -> str:
    if _LOGIN.match(value):
        raise ValueError("a URI with a login in it is refused: credentials belong on the worker")
    return value


Uri = Annotated[str, Field(max_length=4096), AfterValidator(_without_login)]
"""Where something stands. Requests are kept: no password may stand in one."""


class DocumentReference(Wire):
    """One document, named in exactly one way.

    A plain string in a request stands for `uri`.
    """

    uri: Uri | None = Field(
        default=None,
        description="`file:///…`, `s3://…`, `https://…`: any scheme and root that the worker's settings allow.",
    )
    document_id: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="The id that an earlier result gave: the SHA-256 of the document's bytes.",
    )
    content: str | None = Field(
        default=None,
        max_length=INLINE_LIMIT * 4 // 3 + 4,
        description="The bytes themselves in base64, at most 1 MiB decoded.",
        repr=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _from_plain_uri(cls, value: Any) -> Any:
        return {"uri": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> "DocumentReference":
        given = [name for name in ("uri", "document_id", "content") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of uri, document_id and content, not {given or 'none'}")
        return self


class DocumentInfo(Wire):
    """The document that a result is about."""

    document_id: str = Field(description="SHA-256 of the bytes, in hex; usable in later requests.")
    media_type: str = Field(description="What the bytes are, whatever the file was called.")
    page_count: int = Field(ge=1, description="Pages in the whole document.")


_PAGES = re.compile(r"(first|all|\d+(-\d+)?(,\d+(-\d+)?)*)")


def _check_pages(value: str) -> str:
    if not _PAGES.fullmatch(value):
        raise ValueError("pages is 'first', 'all' or a list of pages and ranges such as '1-3,7'")
    for part in value.split(","):
        bounds = [int(number) for number in part.split("-") if number.isdigit()]
        if bounds and (bounds[0] < 1 or bounds[0] > bounds[-1]):
            raise ValueError("pages are counted from 1, and a range goes upwards")
    return value


Pages = Annotated[str, Field(max_length=200), AfterValidator(_check_pages)]
"""A choice of pages: `first`, `all`, or 1-based pages and ranges such as `1-3,7`."""
