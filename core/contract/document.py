"""How a request says which document it means, and how a result says which one it was."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

INLINE_LIMIT = 1024 * 1024
"""Bytes of a document that may travel inside a message; larger ones belong behind a URI."""


def _is_unstorable(value: Any) -> bool:
    """Neither JSON as PostgreSQL keeps it nor UTF-8 has a place for NUL characters and halves of surrogate pairs."""
    if isinstance(value, str):
        return "\0" in value or any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return any(_is_unstorable(key) or _is_unstorable(item) for key, item in value.items())
    return isinstance(value, list | tuple) and any(map(_is_unstorable, value))


class Wire(BaseModel):
    """What every model on the wire has in common: immutable, and unknown fields are refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if isinstance(value, dict):
            faulty = [name for name in cls.model_fields if _is_unstorable(value.get(name))]
            if faulty:
                raise ValueError(f"{', '.join(faulty)} holds a NUL character or half of a surrogate pair")
        return value


_LOGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]{2}[^/?#\\]*@")


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
