"""What can happen to a deployment, one noun each: it strikes, and where it lasts it is healed after a while."""

import json
import random
import signal
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import ClassVar

import psutil
import psycopg2
from sqlalchemy import text
from world import Kept, World

from core.contract import QUEUES
from db.session import transaction


class Fault(ABC):
    """`lasts`: seconds until it is healed. `server`: it takes a server away, so that no other such fault may last."""

    lasts: ClassVar[tuple[float, float] | None] = None
    server: ClassVar[bool] = False

    def __init__(self, world: World) -> None:
        self.world = world

    @abstractmethod
    def strike(self, chance: random.Random) -> bool:
        """False where there was nothing to strike just then."""

    def heal(self) -> None:
        """End it, where it lasts."""
        raise NotImplementedError


def _signal(kept: Kept, number: signal.Signals) -> bool:
    if kept.process.process.poll() is not None:
        return False
    if number == signal.SIGTERM:
        kept.tell_to_stop()
    else:
        kept.process.process.send_signal(number)
    return True


class KilledNode(Fault):
    def strike(self, chance: random.Random) -> bool:
        return _signal(chance.choice(self.world.nodes), signal.SIGKILL)


class StoppedNode(Fault):
    def strike(self, chance: random.Random) -> bool:
        return _signal(chance.choice(self.world.nodes), signal.SIGTERM)


class NodeWithAWrongClock(Fault):
    """It stops, and comes back a minute ahead, or right again."""

    def strike(self, chance: random.Random) -> bool:
        node = chance.choice(self.world.nodes)
        node.ahead = 60 - node.ahead
        return _signal(node, signal.SIGTERM)


class BeatWithAWrongClock(Fault):
    def strike(self, chance: random.Random) -> bool:
        beat = self.world.beat
        beat.ahead = chance.choice([ahead for ahead in (-60, 0, 60) if ahead != beat.ahead])
        return _signal(beat, signal.SIGTERM)


class KilledReader(Fault):
    """A reading process of some node."""

    def strike(self, chance: random.Random) -> bool:
        with suppress(psutil.NoSuchProcess):
            if children := chance.choice(self.world.nodes).process.children():
                chance.choice(children).kill()
                return True
        return False


class KilledTrainer(Fault):
    def strike(self, chance: random.Random) -> bool:
        return _signal(self.world.trainer, signal.SIGKILL)


class StoppedTrainer(Fault):
    def strike(self, chance: random.Random) -> bool:
        return _signal(self.world.trainer, signal.SIGTERM)


class KilledRun(Fault):
    """The trainer's child, whether it trains or waits."""

    def strike(self, chance: random.Random) -> bool:
        with suppress(psutil.NoSuchProcess):
            if children := psutil.Process(self.world.trainer.process.process.pid).children():
                chance.choice(children).kill()
                return True
        return False


class KilledBeat(Fault):
    def strike(self, chance: random.Random) -> bool:
        return _signal(self.world.beat, signal.SIGKILL)


class StoppedBeat(Fault):
    def strike(self, chance: random.Random) -> bool:
        return _signal(self.world.beat, signal.SIGTERM)


class LostServer(Fault):
    """A server's process ends by a signal, and comes back with what it has on disk."""

    lasts = (0.2, 2)
    server = True
    program: ClassVar[str]
    number: ClassVar[signal.Signals] = signal.SIGKILL

    def strike(self, chance: random.Random) -> bool:
        for process in self.world.server(self.program):
            process.send_signal(self.number)
            process.wait(30)
        return True

    def heal(self) -> None:
        self.world.embedded.start()


class KilledRedis(LostServer):
    """What it has is its append-only file."""

    program = "redis-server"


class StoppedRedis(KilledRedis):
    number = signal.SIGTERM


class FrozenRedis(Fault):
    lasts = (1, 4)
    server = True

    def strike(self, chance: random.Random) -> bool:
        for process in self.world.server("redis-server"):
            process.suspend()
        return True

    def heal(self) -> None:
        for process in self.world.server("redis-server"):
            process.resume()


class SlowRedis(Fault):
    """Each packet to it and from it takes a fifth of a second."""

    lasts = (1, 4)
    server = True

    def strike(self, chance: random.Random) -> bool:
        self.world.line.delay(0.2)
        return True

    def heal(self) -> None:
        self.world.line.delay(0)


class CutLine(Fault):
    """Every connection to Redis is closed."""

    def strike(self, chance: random.Random) -> bool:
        self.world.line.cut()
        return True


class KilledPostgres(LostServer):
    """What it has is its write-ahead log."""

    program = "postgres"


class StoppedPostgres(KilledPostgres):
    """Its fast shutdown."""

    number = signal.SIGINT


class CutConnections(Fault):
    """Every connection to PostgreSQL is closed by the server."""

    server = True

    def strike(self, chance: random.Random) -> bool:
        with transaction(self.world.database) as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            )
        return True


class FullDisk(Fault):
    """PostgreSQL refuses whatever would need room, with the code that it has for that: 53100."""

    lasts = (0.5, 3)
    server = True

    def strike(self, chance: random.Random) -> bool:
        self._set(True)
        return True

    def heal(self) -> None:
        self._set(False)

    def _set(self, is_full: bool) -> None:
        with transaction(self.world.database) as connection:
            connection.execute(text("UPDATE disk SET is_full = :is_full"), {"is_full": is_full})


class HeldLock(Fault):
    """Somebody holds the table of jobs for longer than anybody waits for it: 55P03."""

    lasts = (1.5, 3)
    server = True

    def strike(self, chance: random.Random) -> bool:
        database = self.world.settings.database.url
        assert database
        self._connection = psycopg2.connect(database.get_secret_value())
        with self._connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 0; LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        return True

    def heal(self) -> None:
        self._connection.close()


class SecondDelivery(Fault):
    """A message that stands in a queue or is in some node's hands comes a second time, just as it is."""

    server = True

    def strike(self, chance: random.Random) -> bool:
        store = self.world.redis
        held = [(note, "") for note in store.hvals("unacked")]
        queues = [key for key in store.scan_iter(_type="list") if key.split("\x06")[0] in QUEUES.values()]
        waiting = [(message, queue) for queue in queues for message in store.lrange(queue, 0, -1)]
        if not held and not waiting:
            return False
        message, queue = chance.choice([*held, *waiting])
        if not queue:
            raw, _, queue = json.loads(message)
            message = json.dumps(raw)
        store.lpush(queue, message)
        return True


class SecondRequest(Fault):
    """Somebody sends a few requests again under their ids, whether they have ended or not."""

    server = True

    def strike(self, chance: random.Random) -> bool:
        rows = self.world.rows("SELECT task_id, task, request FROM jobs ORDER BY received_at DESC LIMIT 20")
        for task_id, task, request in chance.sample(rows, min(3, len(rows))):
            self.world.send_again(str(task_id), str(task), request)  # type: ignore[arg-type] # JSON
        return bool(rows)


FAULTS: list[type[Fault]] = [
    *(KilledNode, StoppedNode, NodeWithAWrongClock, BeatWithAWrongClock, KilledReader),
    *(KilledTrainer, StoppedTrainer, KilledRun, KilledBeat, StoppedBeat),
    *(KilledRedis, StoppedRedis, FrozenRedis, SlowRedis, CutLine),
    *(KilledPostgres, StoppedPostgres, CutConnections, FullDisk, HeldLock),
    *(SecondDelivery, SecondRequest),
]
