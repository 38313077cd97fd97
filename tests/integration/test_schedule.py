"""When things are due, and real beats that have them done: on time, once, and whatever was missed."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from node import PATIENCE, Node, Process, wait_until
from pydantic import SecretStr
from sqlalchemy import Engine, text
from stand_in import __file__ as stand_in

from core.contract import RETRAIN
from core.errors import RejectedInput
from core.settings import Deciding, Reading, Retention, Schedule, Settings
from db.session import transaction
from worker.embedded import Embedded
from worker.reaper import REAP
from worker.retention import PURGE
from worker.schedule import SETTLING, SKEW, Cron, Every, Slots, make_schedule

NOW = datetime(2026, 11, 26, 10, 17, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@given(
    st.sampled_from(
        ["* * * * *", "30 2 * * *", "*/7 1-23/2 * * *", "0 0 * * mon,thu", "15 3 1,31 * *", "5 4 29 2 *"]
    ),
    st.datetimes(datetime(2024, 1, 1), datetime(2029, 12, 31), timezones=st.just(UTC)),
)
def test_the_slot_after_a_moment_is_the_next_minute_that_fits(fields: str, moment: datetime) -> None:
    minute, hour, day, month, weekday = (
        _fitting(field, *span) for field, span in zip(fields.split(), SPANS, strict=True)
    )
    slot = Cron(fields).after(moment)
    assert slot > moment
    assert (slot.second, slot.microsecond) == (0, 0)

    def fits(day_: datetime) -> bool:
        return day_.day in day and day_.month in month and day_.isoweekday() % 7 in weekday

    assert fits(slot)
    assert slot.hour in hour
    assert slot.minute in minute
    # Nothing in between: neither on the days before, nor on this one.
    days = [moment + timedelta(days=number) for number in range((slot.date() - moment.date()).days)]
    assert not any(fits(each) for each in days[1:])
    for each in {moment.date(), slot.date()}:
        if fits(datetime(each.year, each.month, each.day)):
            times = [datetime(each.year, each.month, each.day, h, m, tzinfo=UTC) for h in hour for m in minute]
            assert not any(moment < other < slot for other in times)


SPANS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]


def _fitting(field: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in field.replace("mon", "1").replace("thu", "4").split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


@given(
    st.floats(0.05, 1e5),
    st.datetimes(datetime(2024, 1, 1), datetime(2029, 12, 31), timezones=st.just(UTC)),
)
def test_intervals_are_counted_alike_whenever_a_beat_began(seconds: float, moment: datetime) -> None:
    every = Every(seconds)
    slot = every.after(moment)
    assert moment < slot <= moment + timedelta(seconds=seconds)
    assert every.after(slot) == slot + timedelta(seconds=seconds)
    assert every.after(slot - timedelta(microseconds=1)) == slot


@pytest.mark.parametrize("fields", ["99 * * * *", "0 0 31 2 *", "* * * * funday", "1-x * * * *"])
def test_times_that_never_come_are_refused(fields: str) -> None:
    with pytest.raises(RejectedInput, match="bad_schedule"):
        Cron(fields)


def test_the_last_of_several_missed_slots_counts() -> None:
    nightly = Cron("30 2 * * *")
    assert nightly.latest(NOW - timedelta(days=9), NOW) == datetime(2026, 11, 26, 2, 30, tzinfo=UTC)


def test_the_schedule_is_that_of_the_settings() -> None:
    settings = Settings(schedule=Schedule(class_sets=("papers", "letters"), reap=7, purge="5 4 * * sun"))
    schedule = make_schedule(settings, NOW)
    tasks = {name: (entry["task"], entry["kwargs"]) for name, entry in schedule.items()}
    assert tasks == {
        "reap": (REAP, {}),
        "retrain-papers": (RETRAIN, {"class_set": "papers"}),
        "retrain-letters": (RETRAIN, {"class_set": "letters"}),
        "purge": (PURGE, {}),
    }
    following = {name: entry["schedule"].after(NOW) for name, entry in schedule.items()}
    assert following["reap"] - NOW <= timedelta(seconds=7)
    assert following["retrain-papers"] == following["retrain-letters"] == datetime(2026, 11, 27, 2, 30, tzinfo=UTC)
    assert following["purge"] == datetime(2026, 11, 29, 4, 5, tzinfo=UTC)
    # That was a Sunday too: it is made up for.
    assert schedule["purge"]["schedule"].after(schedule["purge"]["last_run_at"]) <= NOW


def test_what_is_disabled_is_left_out_and_the_default_set_is_retrained() -> None:
    settings = Settings(schedule=Schedule(purge="disable"), deciding=Deciding(class_set="papers"))
    assert make_schedule(settings, NOW).keys() == {"reap", "retrain-papers"}
    assert make_schedule(Settings(schedule=Schedule(retrain="disable")), NOW).keys() == {"reap", "purge"}


def test_what_was_missed_is_made_up_for_once_and_not_while_all_is_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = make_schedule(Settings(), NOW)["retrain-intake"]
    slots: Slots = entry["schedule"]
    settled = NOW + timedelta(seconds=SETTLING)
    assert _due_at(slots, entry["last_run_at"], NOW, monkeypatch) == (False, settled - NOW)
    due, following = _due_at(slots, entry["last_run_at"], settled, monkeypatch)
    assert due
    assert settled + following == datetime(2026, 11, 27, 2, 30, tzinfo=UTC)
    assert _due_at(slots, settled, settled + MINUTE, monkeypatch) == (False, following - MINUTE)


def _due_at(
    slots: Slots, last_run_at: datetime, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> tuple[bool, timedelta]:
    class At(datetime):
        @classmethod
        def now(cls, _tz: Any = None) -> datetime:  # type: ignore[override]
            return now

    monkeypatch.setattr("worker.schedule.datetime", At)
    due, seconds = slots.is_due(last_run_at)
    return due, timedelta(seconds=seconds)


class Office:
    """Beats and nodes whose runs are stand-ins that end at once."""

    def __init__(self, settings: Settings, database: Engine) -> None:
        assert settings.broker.url
        self.settings = settings
        self.folder = settings.data_dir
        self.database = database
        self.redis = redis.Redis.from_url(settings.broker.url.get_secret_value(), decode_responses=True)

    def beat(self, name: str = "beat") -> Process:
        return Process(self.settings, self.folder, name, ["beat"], [stand_in])

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """The headers of what stands in a queue."""
        keys = self.redis.scan_iter(f"{self.settings.broker.key_prefix}{queue}*")
        return [json.loads(item)["headers"] for key in keys for item in self.redis.lrange(key, 0, -1)]


@pytest.fixture
def office(settings: Settings, database: Engine) -> Iterator[Office]:
    settings.data_dir.mkdir()
    (settings.data_dir / "go").touch()
    office = Office(settings.model_copy(update={"reading": Reading(processes=1)}), database)
    yield office
    office.redis.close()


def test_two_beats_have_a_run_done_once_a_slot(office: Office) -> None:
    office.settings = office.settings.model_copy(
        update={"schedule": Schedule(retrain="* * * * *", class_sets=("papers",), reap=0.5)}
    )
    trainer = Node(office.settings, office.folder, "trainer", queues="retrain", program=[stand_in])
    node = Node(office.settings, office.folder, program=[stand_in])
    with ExitStack() as stack:
        stack.enter_context(trainer).until_ready()
        stack.enter_context(node).until_ready()
        beats = [stack.enter_context(office.beat(f"beat-{number}")) for number in range(2)]

        def both_sent() -> set[str]:
            one, other = ({line["task_id"] for line in beat.lines("sent")} for beat in beats)
            return {task_id for task_id in one & other if task_id.startswith("retrain")}

        # That of the minute in which they began, and the next one.
        wait_until(lambda: len(both_sent()) >= 2, "two slots")
        slots = both_sent()
        wait_until(lambda: not office.messages("retrain") and not office.messages("classify"), "their end")
        for beat in beats:
            status, seconds = beat.terminate()
            print(f"beat stopped in {seconds:.1f} s")
            assert (status, seconds < 20) == (0, True)
        assert [process.terminate()[0] for process in (trainer, node)] == [0, 0]
        assert not node.lines("chore failed")
        assert not trainer.lines("Received unregistered task")
    with transaction(office.database) as connection:
        rows = connection.execute(text("SELECT task_id, state, attempts FROM jobs")).all()
    assert {task_id for task_id, *_ in rows} >= slots
    assert {tuple(rest) for _, *rest in rows} == {("succeeded", 1)}
    starts = [line.split()[0] for line in (office.folder / "starts").read_text().splitlines()]
    assert len(starts) == len(set(starts)) == len(rows)
    assert all(datetime.strptime(name, "retrain-papers-%Y-%m-%dT%H:%M") for name in starts)


def test_beat_sends_what_waits_for_its_slot_and_no_longer_and_leaves_no_file(office: Office) -> None:
    before = set(Path.cwd().iterdir()), set(office.folder.iterdir())
    with office.beat() as beat:
        wait_until(lambda: office.messages("retrain") and len(office.messages("classify")) >= 2, "all three")
        (run,) = office.messages("retrain")
        by_task = {headers["task"]: headers for headers in office.messages("classify")}
        assert beat.terminate()[0] == 0
    slot = datetime.fromisoformat(run["id"].removeprefix("retrain-intake-")).replace(tzinfo=UTC)
    assert (slot.hour, slot.minute) == (2, 30)
    assert slot <= datetime.now(UTC) < slot + timedelta(days=1) == datetime.fromisoformat(run["expires"]) - SKEW
    assert datetime.fromisoformat(by_task[PURGE]["expires"]) > datetime.now(UTC)
    reaped = datetime.fromisoformat(by_task[REAP]["id"].removeprefix("reap-")).replace(tzinfo=UTC)
    period = timedelta(seconds=office.settings.schedule.reap)
    assert datetime.fromisoformat(by_task[REAP]["expires"]) == reaped + period + SKEW
    assert (set(Path.cwd().iterdir()), set(office.folder.iterdir()) - {beat.log}) == before


def test_a_schedule_without_such_a_time_ends_beat_and_says_so(office: Office) -> None:
    office.settings = office.settings.model_copy(update={"schedule": Schedule(retrain="99 * * * *")})
    with office.beat() as beat:
        assert beat.process.wait(PATIENCE) == 2
        assert "bad_schedule" in beat.log.read_text()


def test_a_purge_that_beat_sends_is_done_by_a_node(office: Office) -> None:
    office.settings = office.settings.model_copy(update={"retention": Retention(days=1)})
    with Node(office.settings, office.folder, program=[stand_in]) as node, office.beat():
        wait_until(lambda: node.lines("purged") if node.log.exists() else [], "a purge")
        time.sleep(0.1)
        assert node.lines("purged")[0]["jobs"] == 0


def test_beat_outlives_a_broker_that_goes_away(office: Office) -> None:
    folder = Path(tempfile.mkdtemp(prefix="docintake-beat-"))
    folder.chmod(0o755)
    embedded = Embedded(folder / "data")
    with embedded as addresses:
        broker = office.settings.broker.model_copy(update={"url": SecretStr(addresses.redis_url)})
        office.settings = office.settings.model_copy(update={"broker": broker, "schedule": Schedule(reap=0.5)})
        with office.beat() as beat:
            wait_until(lambda: len(beat.lines("sent")) > 3, "some tasks")
            (server,) = [
                process
                for process in psutil.process_iter(["cmdline"])
                if str(folder / "data" / "redis" / "redis.conf") in (process.info["cmdline"] or [])
            ]
            server.kill()
            time.sleep(3)
            sent = len(beat.lines("sent"))
            assert beat.lines("the broker is away")
            assert embedded.start() == addresses
            wait_until(lambda: len(beat.lines("sent")) > sent + 3, "tasks after the restart")
            server = next(
                process
                for process in psutil.process_iter(["cmdline"])
                if str(folder / "data" / "redis" / "redis.conf") in (process.info["cmdline"] or [])
            )
            server.kill()
            time.sleep(3)
            status, seconds = beat.terminate()
            print(f"without a broker beat stopped in {seconds:.1f} s")
            assert (status, seconds < 20) == (0, True)
    shutil.rmtree(folder)
