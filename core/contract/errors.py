"""What a caller may have to handle."""

from typing import Literal


class IntakeError(Exception):
    """A request that ended without a result.

    `kind` is `rejected` (mend the request or its document) or `failed` (the worker's operator has to look);
    `code` is stable and machine-readable; `message` says what to do.
    """

    def __init__(self, kind: Literal["rejected", "failed"], code: str, message: str) -> None:
        super().__init__(kind, code, message)
        self.kind = kind
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.kind} ({self.code}): {self.message}"
