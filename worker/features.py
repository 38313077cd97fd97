"""Features as they are stored: those of the encoder, and beside them what checkpoints' own blocks make of a page."""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection

from core.features import Features
from db import queries

Pages = dict[int, Features | None]
"""Page number → its features, None for a blank one."""


def name_of(encoder: str, key: str) -> str:
    """What pages are stored under as seen by the encoder with the blocks that `key` names."""
    return f"{encoder} {key}"


def read(rows: Mapping[int, bytes | None]) -> Pages:
    """Features from stored rows."""
    return {number: None if data is None else Features.from_bytes(data) for number, data in rows.items()}


def joined(pages: Pages, key: str, tuned: Pages) -> Pages:
    """Those of the pages that are `tuned` as well, with what the encoder of that key made of them."""
    found: Pages = {}
    for number, page in pages.items():
        if number in tuned:
            own = tuned[number]
            found[number] = None if page is None or own is None else page.with_tuned(key, own.vector)
    return found


def of(connection: Connection, documents: Collection[str], encoder: str, keys: Collection[str]) -> dict[str, Pages]:
    """What is stored of several documents' pages, of those that all these encoders have seen as well."""
    found = {sha256: read(rows) for sha256, rows in queries.get_features_of(connection, documents, encoder).items()}
    for key in keys:
        rows = queries.get_features_of(connection, documents, name_of(encoder, key))
        found = {sha256: joined(pages, key, read(rows.get(sha256, {}))) for sha256, pages in found.items()}
    return found
