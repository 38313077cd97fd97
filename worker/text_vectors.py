"""Vectors of texts, kept in PostgreSQL: what any node has encoded once, no node encodes again."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from sqlalchemy import Engine

from core.backends import Vectors
from db import queries
from db.session import transaction


class TextVectors:
    """Encodes texts as `encode` does, but only those that were never seen by this encoder.

    Called with texts, gives float32 (texts, dimensions). `fingerprint` names the model behind `encode`.
    """

    def __init__(self, engine: Engine, fingerprint: str, encode: Callable[[Sequence[str]], Vectors]) -> None:
        self._engine = engine
        self._fingerprint = fingerprint
        self._encode = encode

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Raises what `encode` raises, and TransientFailure when the database is away."""
        hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        with transaction(self._engine) as connection:
            known = queries.get_text_vectors(connection, self._fingerprint, set(hashes))
        missing = {sha256: text for sha256, text in zip(hashes, texts, strict=True) if sha256 not in known}
        if missing:
            rows = self._encode(list(missing.values())).astype(np.float32)
            encoded = {sha256: row.tobytes() for sha256, row in zip(missing, rows, strict=True)}
            with transaction(self._engine) as connection:
                queries.put_text_vectors(connection, self._fingerprint, encoded)
            known.update(encoded)
        return np.stack([np.frombuffer(known[sha256], dtype=np.float32) for sha256 in hashes])
