"""Login users of the three roles, as an operator makes them, with passwords that are found wherever they leak."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Engine, make_url, text

from db import roles

CANARY = "canary"
"""Every password begins so."""


@dataclass
class Logins:
    """Users of the server that `admin` is a superuser of, for the database that `url` is of."""

    admin: Engine
    url: str
    names: list[str] = field(default_factory=list)

    def make(self, *granted: str, options: str = "") -> str:
        """URL of a new user with these roles."""
        name, password = f"user_{secrets.token_hex(4)}", f"{CANARY}/@:%{secrets.token_hex(4)}"
        with self.admin.connect() as connection:
            connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' {options}"))
            self.names.append(name)
            for role in granted:
                connection.execute(text(f"GRANT {role} TO {name}"))
        return make_url(self.url).set(username=name, password=password).render_as_string(hide_password=False)

    @property
    def migrate(self) -> str:
        return self.make(roles.MIGRATE)

    @property
    def worker(self) -> str:
        return self.make(roles.WORKER)

    @property
    def read(self) -> str:
        return self.make(roles.READ)


@contextmanager
def logins(admin: Engine, url: str) -> Iterator[Logins]:
    """Leaving it drops the users; what they own must be gone by then."""
    made = Logins(admin, url)
    yield made
    with admin.connect() as connection:
        for name in made.names:
            connection.execute(text(f"DROP ROLE {name}"))
