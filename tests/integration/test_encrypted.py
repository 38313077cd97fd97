"""Encrypted lines to PostgreSQL and Redis: used where they are safe, and refused where they are not."""

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import redis
from certificates import Certificates, Terminator
from encrypted import PASSWORD, encrypted_postgres
from guarded import PREFIX, Guarded, password_of, program_with_encryption
from node import PATIENCE, Node, disconnect
from printed import pdf
from pydantic import SecretStr
from serving import Cli
from sqlalchemy import Engine, text

from core.class_set import ClassSet, DocumentClass
from core.contract import IntakeClient
from core.errors import TransientFailure
from core.settings import Reading, Settings
from db.session import make_engine, transaction
from worker import class_sets
from worker.app import make_app
from worker.cli import doctor
from worker.embedded import _free_port

Url = Callable[..., str]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


# PostgreSQL


@pytest.fixture(scope="module")
def database_at(certificates: Certificates) -> Iterator[Url]:
    """URL of a database behind TLS, by host and user, with these parameters of libpq."""
    with encrypted_postgres(certificates) as port:

        def url(host: str = "localhost", user: str = "owner", **parameters: str) -> str:
            password = quote(PASSWORD, safe="")
            return f"postgresql://{user}:{password}@{host}:{port}/postgres?{urlencode(parameters)}"

        yield url


@pytest.fixture
def good(certificates: Certificates) -> dict[str, str]:
    return {"sslmode": "verify-full", "sslrootcert": certificates.file("ca.pem")}


def test_commands_work_over_an_encrypted_line_and_the_doctor_names_it(
    database_at: Url, good: dict[str, str], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCINTAKE_DATABASE__URL", database_at(**good))
    for words in ("db roles", "db upgrade", "db roles", "jobs list"):
        assert cli(*words.split()).exit_code == 0
    said = cli("doctor").stdout
    (line,) = [line for line in said.splitlines() if " database " in line]
    assert re.match(r"✓ database +PostgreSQL [\d.]+ as owner, over TLSv1\.[23], its tables are", line)
    assert "canary" not in said


def test_a_client_certificate_opens_what_asks_for_one(
    database_at: Url, good: dict[str, str], certificates: Certificates
) -> None:
    own = {"sslcert": certificates.file("client.pem"), "sslkey": certificates.file("client.key")}
    with transaction(engine := make_engine(database_at(**good), statement_timeout=30, pool_size=1)) as connection:
        connection.execute(text(f"CREATE ROLE certified LOGIN SUPERUSER PASSWORD '{PASSWORD}'"))
    engine.dispose()
    engine = make_engine(database_at(user="certified", **good, **own), statement_timeout=30, pool_size=1)
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT current_user")).scalar_one() == "certified"
    engine.dispose()
    assert "sslcert and sslkey" in refusal(database_at(user="certified", **good))


def refusal(url: str) -> str:
    """What is said of a database that cannot be reached so."""
    engine = make_engine(url, statement_timeout=30, pool_size=1)
    with pytest.raises(TransientFailure) as caught, transaction(engine):
        pass
    engine.dispose()
    assert caught.value.code == "database_unavailable"
    assert "canary" not in str(caught.value)
    return caught.value.message


@pytest.mark.parametrize(
    ("host", "parameters", "advice"),
    [
        ("localhost", {"sslrootcert": "stranger.pem"}, "sslrootcert must name the CA"),
        ("localhost", {"sslrootcert": "nowhere.pem"}, "sslrootcert must name a readable file"),
        ("127.0.0.1", {}, "connect by a name that stands in the server's certificate"),
        ("localhost", {"sslmode": "disable"}, "takes encrypted connections alone: sslmode=verify-full"),
    ],
    ids=["another CA", "no CA", "another name", "not encrypted"],
)
def test_a_line_that_is_not_safe_is_refused_with_what_to_do(
    database_at: Url,
    good: dict[str, str],
    certificates: Certificates,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    parameters: dict[str, str],
    advice: str,
) -> None:
    changed = {
        name: certificates.file(value) if name == "sslrootcert" else value for name, value in parameters.items()
    }
    url = database_at(host, **(good | changed))
    assert advice in refusal(url)
    monkeypatch.setenv("DOCINTAKE_DATABASE__URL", url)
    error = cli("jobs", "list").exception
    assert isinstance(error, TransientFailure)
    assert advice in error.message


# Redis


@pytest.fixture(scope="module", params=["redis", "proxy"])
def broker_at(
    request: pytest.FixtureRequest, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Url]:
    """URL of a Redis behind TLS, by host and user, with these parameters; an `asking` one asks for a certificate.

    Redis itself ends TLS, or a proxy does before the embedded one, which was built without.
    """
    folder = tmp_path_factory.mktemp("redis")
    with ExitStack() as stack:
        if request.param == "redis":
            program = program_with_encryption()
            if program is None:
                pytest.skip("there is no redis-server on this machine that was built with TLS, such as Debian's")
            ports = {}
            for asks in (True, False):
                (own := folder / str(asks)).mkdir()
                ports[asks] = _free_port()
                options = {"port": "0", "tls-port": str(ports[asks]), "tls-auth-clients": "yes" if asks else "no"}
                names = {"tls-ca-cert-file": "ca.pem", "tls-cert-file": "server.pem", "tls-key-file": "server.key"}
                options |= {option: certificates.file(name) for option, name in names.items()}
                stack.enter_context(Guarded(own, program, options))
        else:
            server = stack.enter_context(Guarded(folder))
            proxies = {asks: Terminator(certificates, server.port, asks=asks) for asks in (True, False)}
            ports = {asks: stack.enter_context(proxy).port for asks, proxy in proxies.items()}

        def url(
            host: str = "localhost",
            user: str = "docintake-node",
            scheme: str = "rediss",
            asking: bool = False,
            **parameters: str,
        ) -> str:
            password = quote(password_of(user), safe="")
            return f"{scheme}://{user}:{password}@{host}:{ports[asking]}/0?{urlencode(parameters)}"

        yield url


@pytest.fixture
def trust(certificates: Certificates) -> dict[str, str]:
    return {"ssl_ca_certs": certificates.file("ca.pem")}


@pytest.mark.parametrize("asking", [False, True], ids=["", "with certificates"])
def test_a_node_and_a_back_office_meet_over_encrypted_lines(
    broker_at: Url,
    trust: dict[str, str],
    certificates: Certificates,
    settings: Settings,
    database: Engine,
    tmp_path: Path,
    asking: bool,
) -> None:
    own = {"ssl_certfile": certificates.file("client.pem"), "ssl_keyfile": certificates.file("client.key")}
    parameters = {"asking": asking, **trust, **(own if asking else {})}
    with transaction(database) as connection:
        papers = (DocumentClass(name="bill"), DocumentClass(name="letter"))
        class_sets.import_draft(connection, ClassSet(name="intake", classes=papers))
        class_sets.publish(connection, "intake")
    broker = {"url": SecretStr(broker_at(**parameters)), "key_prefix": PREFIX}
    changed = {"broker": settings.broker.model_copy(update=broker), "reading": Reading(processes=1)}
    paper = tmp_path / "paper.pdf"
    paper.write_bytes(pdf(["the bill"]))
    office = IntakeClient(broker_at(user="docintake-office", **parameters), key_prefix=PREFIX)
    with Node(settings.model_copy(update=changed), tmp_path) as node:
        node.until_ready()
        assert office.classify(paper.as_uri()).get(PATIENCE).prediction == "bill"
        assert office.answer(paper.as_uri(), "How many pages are there?").get(PATIENCE).answers[0].answer == "1"
        assert node.terminate()[0] == 0
    disconnect(office)
    assert "canary" not in node.log.read_text()


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"ssl_ca_certs": "stranger.pem"}, "ssl_ca_certs must name the CA that signed"),
        ({"ssl_ca_certs": ""}, "ssl_ca_certs must name the CA that signed"),
        ({"host": "127.0.0.1"}, "name the host as the server's certificate does"),
        ({"scheme": "redis", "ssl_ca_certs": ""}, "encrypted connections alone begins with rediss://"),
        ({"asking": True}, "may ask for ssl_certfile and ssl_keyfile"),
    ],
    ids=["another CA", "no CA", "another name", "not encrypted", "without a certificate"],
)
def test_a_line_to_redis_that_is_not_safe_is_refused_by_all_who_use_it(
    broker_at: Url,
    trust: dict[str, str],
    certificates: Certificates,
    settings: Settings,
    changes: dict[str, Any],
    advice: str,
) -> None:
    wanted = trust | changes
    authority = wanted.pop("ssl_ca_certs")
    if authority:
        wanted["ssl_ca_certs"] = certificates.file(authority)
    url = broker_at(**wanted)
    broker = settings.broker.model_copy(update={"url": SecretStr(url), "key_prefix": PREFIX})
    changed = settings.model_copy(update={"broker": broker})
    app = make_app(changed)
    office = IntakeClient(url, key_prefix=PREFIX)
    for celery in (app, office._app):
        with (
            pytest.raises(Exception, match=r"(?i)ssl|certificate|connection") as sending,
            celery.connection() as line,
        ):
            line.ensure_connection(max_retries=1, interval_start=0, timeout=5)
        with pytest.raises(redis.ConnectionError) as hearing:
            celery.backend.client.ping()
        for caught in (sending, hearing):
            assert "canary" not in str(caught.value)
        celery.close()
    with pytest.raises(TransientFailure) as looking:
        doctor._broker(changed)
    assert advice in looking.value.message
    assert "canary" not in looking.value.message
    gc.collect()


def looked_at(settings: Settings, url: str) -> str:
    """What the doctor says of that broker."""
    broker = settings.broker.model_copy(update={"url": SecretStr(url), "key_prefix": PREFIX})
    return doctor._broker(settings.model_copy(update={"broker": broker}))


def test_the_doctor_names_an_encrypted_line_and_one_to_whomever_it_may_be(
    broker_at: Url, trust: dict[str, str], settings: Settings
) -> None:
    safe, unsafe = (looked_at(settings, broker_at(**how)) for how in (trust, {"ssl_cert_reqs": "none"}))
    assert re.match(r"Redis [\d.]+ as docintake-node, over TLSv1\.[23], evicts", safe)
    assert re.match(r"Redis [\d.]+ as docintake-node, over TLSv1\.[23], the server's certificate unchecked,", unsafe)


def test_encryption_that_is_asked_of_a_plain_port_is_refused(
    trust: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    with (
        Guarded(tmp_path) as server,
        pytest.raises(TransientFailure, match="it must take encrypted connections at that port"),
    ):
        looked_at(settings, server.url("docintake-node").replace("redis:", "rediss:") + f"?{urlencode(trust)}")
