"""Whatever strikes, and however often: each request ends once, its caller hears of it, and nothing is left behind.

`make chaos` runs the long form: CHAOS_TASKS requests under each seed in CHAOS_SEEDS, struck until all are answered.
"""

import math
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest
from faults import FAULTS, Fault
from world import World, world

from core.settings import PROJECT

SEEDS = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1").split(",")]
TASKS = int(os.environ.get("CHAOS_TASKS", "60"))
STRIKES = math.inf if "CHAOS_TASKS" in os.environ else 8
EVERY = 2.0
"""Seconds between strikes."""
REPORT = PROJECT / "build" / "chaos.md"


class Siege:
    """Strikes a world every few seconds, with all faults in turn, each round in another order."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.struck: Counter[str] = Counter()
        self._world = world
        self._chance = chance
        self._deck: list[type[Fault]] = []
        self._lasting: list[tuple[float, Fault]] = []
        self._next = time.monotonic()

    def go_on(self) -> None:
        now = time.monotonic()
        for due, fault in list(self._lasting):
            if now >= due:
                fault.heal()
                self._lasting.remove((due, fault))
        if now >= self._next and self.struck.total() < STRIKES:
            self._strike()
            self._next = time.monotonic() + EVERY

    def end(self) -> None:
        for _, fault in self._lasting:
            fault.heal()
        self._lasting.clear()

    def _strike(self) -> None:
        if not self._deck:
            self._deck = self._chance.sample(FAULTS, len(FAULTS))
        busy = any(fault.server for _, fault in self._lasting)
        kind = next((kind for kind in self._deck if not (busy and kind.server)), None)
        if kind is None:
            return
        self._deck.remove(kind)
        fault = kind(self._world)
        if fault.strike(self._chance):
            self.struck[kind.__name__] += 1
            if fault.lasts is not None:
                self._lasting.append((time.monotonic() + self._chance.uniform(*fault.lasts), fault))


# Celery drops its connections to a Redis that went away without closing them.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <function AsyncResult.__del__")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_strikes_each_request_ends_once_and_nothing_is_left(seed: int) -> None:
    print(f"\nseed {seed}")
    with world(seed, TASKS) as here:
        siege = Siege(here, here.chance)
        start = time.monotonic()
        with here.working() as at_work:
            while at_work():
                siege.go_on()
                here.keep_up()
                time.sleep(0.05)
            siege.end()
        seconds = time.monotonic() - start
        here.until_quiet()
        here.stop()
        wrong = here.wrong() | {
            "left in Redis": here.left_in_redis(),
            "processes": here.processes(),
            "files": here.left_files(),
            "sessions": here.rows(
                "SELECT pid, state, query FROM pg_stat_activity WHERE application_name = 'docintake' "
                "AND pid <> pg_backend_pid()"
            ),
        }
        _report(here, siege, seed, seconds, wrong)
    assert {what: found for what, found in wrong.items() if found} == {}


def _report(here: World, siege: Siege, seed: int, seconds: float, wrong: dict[str, object]) -> None:
    ((tasks, attempts, retries),) = here.rows("SELECT count(*), sum(attempts), sum(retries) FROM jobs")
    print(", ".join(f"{name} {count}" for name, count in sorted(siege.struck.items())))
    print(f"sent again {here.sent_again}, waited again {here.waited_again}, runs {len(here.runs)}")
    counts = (len(wrong[what]) for what in ("lost", "doubled", "stuck"))  # type: ignore[arg-type] # lists
    row = (seed, tasks, siege.struck.total(), attempts, retries, round(seconds), *counts)
    line = "| " + " | ".join(map(str, row)) + " |"
    print(line)
    if "CHAOS_TASKS" in os.environ:
        _write(REPORT, line)


def _write(file: Path, line: str) -> None:
    file.parent.mkdir(exist_ok=True)
    if not file.exists():
        file.write_text(
            "| seed | tasks | faults | attempts | retries | seconds | lost | doubled | stuck |\n|" + "---|" * 9
        )
    with file.open("a") as report:
        report.write(f"\n{line}")
