"""`docintake` on a machine whose clock is wrong: `shifted.py SECONDS WORD…` runs these words that much ahead."""

import datetime
import os
import sys
import time

_now = time.time


class _Kind(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _true)


_true = datetime.datetime


def shift(seconds: float) -> None:
    """From here on, what Python says of the time is that much ahead. What was imported earlier may keep the truth."""

    class Shifted(_true, metaclass=_Kind):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return _true.now(tz) + datetime.timedelta(seconds=seconds)

        @classmethod
        def utcnow(cls) -> datetime.datetime:
            return cls.now(datetime.UTC).replace(tzinfo=None)

    time.time = lambda: _now() + seconds
    datetime.datetime = Shifted  # type: ignore[misc] # which is what it is for


if __name__ == "__main__":
    if "celery" in sys.modules:
        # Forked from what has the true time already: begin anew.
        os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - this very file
    shift(float(sys.argv.pop(1)))
    from worker.cli.main import main

    main()
