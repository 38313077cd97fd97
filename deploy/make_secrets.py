"""Makes every password that the containers need, and the files that hold them: `python3 deploy/make_secrets.py`.

Each file of `secrets/` is one secret of docker-compose.yml, or one key of the Secret of deploy/kubernetes. Nothing
but Python is needed, and what is there already is never written over.
"""

import hashlib
import re
import secrets
import sys
from pathlib import Path
from typing import Final

_USERS: Final = Path(__file__).resolve().parent / "redis" / "users.acl"
_REDIS: Final = ("node", "office", "beat", "forget", "hear")
_POSTGRES: Final = {"admin": "docintake"} | {name: f"docintake_{name}" for name in ("release", "node", "report")}


def make(folder: Path) -> None:
    """Write all of them into a new folder that its owner alone may enter."""
    folder.mkdir(mode=0o700, parents=True)
    redis = {f"broker-{name}": secrets.token_urlsafe(32) for name in _REDIS}
    postgres = {name: secrets.token_urlsafe(32) for name in _POSTGRES}
    files = {
        "redis-users": re.sub(r"{(.+?)}", lambda found: _sha256(redis[found[1]]), _USERS.read_text(encoding="utf-8")),
        "flower": f"operator:{secrets.token_urlsafe(16)}",
        "grafana": secrets.token_urlsafe(16),
    }
    for name, password in redis.items():
        files[name] = f"redis://{name.replace('broker', 'docintake')}:{password}@redis:6379/0"
    for name, user in _POSTGRES.items():
        files[f"postgres-{name}"] = postgres[name]
        files[f"database-{name}"] = f"postgresql://{user}:{postgres[name]}@postgres:5432/docintake"
    for name, text in files.items():
        file = folder / name
        file.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")
        # Each container reads its own as a user of its own; the folder keeps everybody else out.
        file.chmod(0o444)


def _sha256(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "secrets")
    if target.exists():
        sys.exit(f"{target} is there already: move it away to make new passwords, or go on with these")
    make(target)
    print(
        f"{target} holds the passwords. {target}/flower is who may look at Flower, {target}/broker-office is what "
        "back offices connect to."
    )
