"""The three kinds of error, told apart by what happens next."""


class IntakeError(Exception):
    """What all three kinds share: a stable code for machines, a message for people.

    The message says what, which and what to do; it never holds document content, answers or credentials.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class RejectedInput(IntakeError):
    """The caller's to mend: the request or its document cannot be served as it is. Never retried."""


class TransientFailure(IntakeError):
    """Nobody's fault and likely to pass: retried with backoff and jitter."""


class ModelFailure(IntakeError):
    """Ours to mend: kept for a person to look at, never retried by itself."""
