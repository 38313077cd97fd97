"""What happens by itself, and when: Celery beat, on a schedule made of the settings."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from celery import Celery
from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import BaseSchedule, ParseException, crontab, schedstate

from core.contract import RETRAIN
from core.errors import RejectedInput
from core.settings import Settings
from worker.reaper import REAP
from worker.retention import PURGE

log = structlog.get_logger()

SETTLING: Final = 300.0
"""Seconds after its start in which beat sends nothing that has a time of day: it does not compete with the start."""
SKEW: Final = timedelta(minutes=2)
"""How wrong the clocks of beat and a node may be, one against the other, before a node takes what is due for old."""
LONGEST_PAUSE: Final = 300
"""Seconds between looks at the schedule, at most."""
_LONG_AGO: Final = (1, 8, 32, 366)
"""Days to look back for the last time that something was due."""
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class Slots(BaseSchedule):  # type: ignore[misc] # Celery has no types
    """The times at which something is due, in UTC. Every beat finds the same ones.

    `not_before` is the earliest moment at which one of them is kept; one that was before is kept then.
    """

    precision = "minutes"

    def __init__(self, not_before: datetime = _EPOCH) -> None:
        super().__init__()
        self._not_before = not_before

    def after(self, moment: datetime) -> datetime:
        """The first slot after that moment."""
        raise NotImplementedError

    def name(self, slot: datetime) -> str:
        """The slot as it stands in task ids."""
        return slot.replace(tzinfo=None).isoformat(timespec=self.precision)

    def latest(self, since: datetime, now: datetime) -> datetime:
        """The last slot until now, of which there is one since then."""
        slot = self.after(since)
        while (following := self.after(slot)) <= now:
            slot = following
        return slot

    def is_due(self, last_run_at: datetime) -> schedstate:
        now = datetime.now(UTC)
        kept_at = max(self.after(last_run_at), self._not_before)
        due = kept_at <= now
        return schedstate(due, ((self.after(now) if due else kept_at) - now).total_seconds())


class Every(Slots):
    """A slot every so many seconds, counted from 1970."""

    precision = "milliseconds"

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._step = timedelta(seconds=seconds)

    def after(self, moment: datetime) -> datetime:
        return _EPOCH + ((moment - _EPOCH) // self._step + 1) * self._step


class _Crontab(crontab):  # type: ignore[misc] # Celery has no types
    """Celery's, without an app to ask for its time zone."""

    tz = UTC
    utc_enabled = True


class Cron(Slots):
    """`minute hour day-of-month month day-of-week`.

    Raises RejectedInput(`bad_schedule`) where these are no times.
    """

    def __init__(self, fields: str, not_before: datetime = _EPOCH) -> None:
        super().__init__(not_before)
        try:
            self._cron = _Crontab.from_string(" ".join(fields.split()))
            self.after(_EPOCH)
        except (ParseException, ValueError, RuntimeError) as error:
            raise RejectedInput("bad_schedule", f"there is no time like {fields!r} in a schedule: {error}") from error

    def after(self, moment: datetime) -> datetime:
        self._cron.nowfun = lambda: moment
        remaining: timedelta = self._cron.remaining_estimate(moment)
        return moment + remaining

    def before(self, moment: datetime) -> datetime:
        """Some time, after which there was a slot until that moment; the moment itself where there was none."""
        tries = (moment - timedelta(days=days) for days in _LONG_AGO)
        return next((since for since in tries if self.after(since) <= moment), moment)


class SlotScheduler(Scheduler):  # type: ignore[misc] # Celery has no types
    """Names each task by entry and slot, so that what several beats send, or one that was started again, is one task.

    It keeps nothing: jobs remember which slots had their run. Until the next slot, and as long after it as clocks may
    differ, a task may still be taken up.
    """

    def apply_async(self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **_: Any) -> Any:
        slots, now = entry.schedule, datetime.now(UTC)
        slot = slots.latest(entry.last_run_at, now)
        entry.options.update(task_id=f"{entry.name}-{slots.name(slot)}", expires=slots.after(slot) + SKEW)
        sent = super().apply_async(entry, producer, advance)
        log.info("sent", entry=entry.name, task_id=sent.id)
        return sent


def make_schedule(settings: Settings, now: datetime) -> dict[str, dict[str, Any]]:
    """Celery's `beat_schedule` for a beat that starts now. Raises RejectedInput(`bad_schedule`).

    What was due while no beat ran is made up for, once; if it has run, its job says so.
    """
    entries = {"reap": _entry(REAP, Every(settings.schedule.reap), now)}
    for class_set in settings.schedule.class_sets or (settings.deciding.class_set,):
        entries |= _by_clock(
            f"retrain-{class_set}", RETRAIN, settings.schedule.retrain, now, {"class_set": class_set}
        )
    return entries | _by_clock("purge", PURGE, settings.schedule.purge, now)


def _by_clock(
    name: str, task: str, fields: str, now: datetime, request: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    if fields == "disable":
        return {}
    cron = Cron(fields, not_before=now + timedelta(seconds=SETTLING))
    return {name: _entry(task, cron, cron.before(now), request)}


def _entry(task: str, slots: Slots, since: datetime, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "task": task,
        "schedule": slots,
        "kwargs": request or {},
        "last_run_at": since,
        # Nobody waits for what it returns. A broker that is away is waited for.
        "options": {
            "ignore_result": True,
            "retry_policy": {"max_retries": None, "interval_max": 5, "errback": _say_that_it_waits},
        },
    }


def _say_that_it_waits(_error: Exception, seconds: float) -> None:
    log.warning("the broker is away", again_in=seconds)


def run_beat(app: Celery, settings: Settings, tick: Callable[[], None] = lambda: None) -> None:
    """Be the beat of this app until SIGTERM or ctrl-C; `tick` is called each time that it looks at its schedule."""

    class Ticking(SlotScheduler):
        def tick(self, *args: Any, **options: Any) -> Any:
            tick()
            return super().tick(*args, **options)

    app.conf.beat_schedule = make_schedule(settings, datetime.now(UTC))
    for name, entry in app.conf.beat_schedule.items():
        log.info("scheduled", entry=name, next=entry["schedule"].after(datetime.now(UTC)).isoformat())
    app.Beat(quiet=True, scheduler_cls=Ticking, max_interval=LONGEST_PAUSE).run()
