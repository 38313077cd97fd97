"""Redis' users as docs/access.md has them: what each may not do, and that what is missing is named."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from guarded import PREFIX, Guarded, rules
from node import PATIENCE, disconnect, wait_until
from redis.exceptions import NoPermissionError
from serving import Cli

from core.contract import IntakeClient
from worker import broker


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with Guarded(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def root(server: Guarded) -> Iterator[redis.Redis]:
    with server.client("root") as client:
        yield client


@pytest.fixture(scope="module")
def office(server: Guarded) -> Iterator[IntakeClient]:
    client = IntakeClient(server.url("docintake-office"), key_prefix=PREFIX)
    yield client
    disconnect(client)


def lacking(server: Guarded, user: str) -> list[str]:
    with server.client(user) as client:
        return broker.lacking(client, PREFIX)


def test_a_node_lacks_nothing_and_looking_changes_nothing(server: Guarded, root: redis.Redis) -> None:
    assert lacking(server, "docintake-node") == []
    assert root.keys() == []


@pytest.mark.parametrize("word", [word for word in rules()["docintake-node"] if word[0] in "+~&"])
def test_whatever_is_taken_out_of_a_nodes_rule_is_missed(server: Guarded, root: redis.Redis, word: str) -> None:
    rest = [other for other in rules()["docintake-node"] if other != word]
    root.execute_command("ACL", "SETUSER", "short", "reset", *rest)
    with redis.Redis.from_url(f"redis://short:node-password@localhost:{server.port}/0") as short:
        assert broker.lacking(short, PREFIX) == [word]
        root.execute_command("ACL", "SETUSER", "short", word)
        assert broker.lacking(short, PREFIX) == []


def test_a_user_for_another_prefix_lacks_the_keys_and_the_channels(server: Guarded) -> None:
    with server.client("docintake-node") as client:
        missing = broker.lacking(client, "other:")
    assert missing[0] == "~other:*"
    assert all(word.startswith("&other:") for word in missing[1:])


OFFICE = f"""
from celery import Celery
app = Celery("office", broker=BROKER)
app.conf.broker_transport_options = {{
    "global_keyprefix": "{PREFIX}",
    "unacked_key": "backoffice.unacked",
    "unacked_index_key": "backoffice.unacked_index",
    "unacked_mutex_key": "backoffice.unacked_mutex",
    "unacked_restore_interval": 0.5,
}}
app.conf.update(worker_enable_remote_control=False, task_acks_late=True)

@app.task(name="office.outcome", ignore_result=True)
def outcome(outcome):
    pass
"""


def test_a_back_office_hears_on_its_own_queue_as_a_user_who_comes_to_nothing_else(
    server: Guarded, root: redis.Redis, tmp_path: Path
) -> None:
    (tmp_path / "office.py").write_text(OFFICE.replace("BROKER", repr(server.url("docintake-hear"))))
    node = IntakeClient(server.url("docintake-node"), key_prefix=PREFIX)
    node._app.send_task("office.outcome", kwargs={"outcome": {}}, queue="backoffice", ignore_result=True)
    assert root.llen("docintake:backoffice") == 1
    root.execute_command("ACL", "LOG", "RESET")
    words = ["-A", "office", "worker", "-Q", "backoffice", "-P", "threads", "-c", "1"]
    with (tmp_path / "log").open("wb") as log:
        office = subprocess.Popen(
            [sys.executable, "-m", "celery", *words, "--without-gossip", "--without-mingle", "-l", "info"],
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: " succeeded in " in (tmp_path / "log").read_text(), "the outcome was heard")
        # It has looked for what others left unacknowledged, too.
        wait_until(lambda: not root.exists("docintake:backoffice.unacked"), "the acknowledgement")
    finally:
        office.terminate()
        office.wait(PATIENCE)
    disconnect(node)
    # redis-py introduces itself, which nobody has to be let do.
    assert {entry["object"] for entry in root.acl_log()} <= {"client", "client|setinfo"}
    root.flushall()


FORBIDDEN = {
    "docintake-node": [
        "KEYS *",
        "SCAN 0",
        "FLUSHALL",
        "CONFIG GET *",
        "ACL LIST",
        "MONITOR",
        "GET other:x",
        "SHUTDOWN",
    ],
    "docintake-office": [
        *(
            "KEYS *",
            "SCAN 0",
            "FLUSHDB",
            "CONFIG GET *",
            "ACL WHOAMI",
            "EVAL return 0",
            "INFO",
            "DEL docintake:classify",
        ),
        *("RPOP docintake:classify", "LRANGE docintake:classify 0 -1", "HVALS docintake:unacked"),
        *("SET docintake:celery-task-meta-x 1", "LPUSH docintake:retrain 0", "PSUBSCRIBE *"),
        *("PUBLISH docintake:/0.celery.pidbox shutdown", "SUBSCRIBE docintake:/0.celery.pidbox"),
    ],
    "docintake-hear": [
        *("KEYS *", "SCAN 0", "EVAL return 0", "BRPOP docintake:classify 0", "LPUSH docintake:classify 0"),
        *("HGET docintake:unacked 0", "GET docintake:celery-task-meta-x", "SADD docintake:_kombu.binding.classify 0"),
    ],
    "docintake-beat": [
        *(
            "KEYS *",
            "EVAL return 0",
            "GET docintake:celery-task-meta-x",
            "LPUSH docintake:qa 0",
            "RPOP docintake:classify",
        ),
        *("PUBLISH docintake:/0.celery.pidbox shutdown", "SUBSCRIBE docintake:celery-task-meta-x", "FLUSHALL"),
    ],
}


@pytest.mark.parametrize(("user", "command"), [(user, one) for user, each in FORBIDDEN.items() for one in each])
def test_what_a_user_has_no_business_with_is_refused(server: Guarded, user: str, command: str) -> None:
    with server.client(user) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command.split())


def test_nobody_comes_in_without_a_name(server: Guarded) -> None:
    with redis.Redis(port=server.port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_a_back_office_may_not_start_runs_until_it_is_let(root: redis.Redis, office: IntakeClient) -> None:
    with pytest.raises(Exception, match="permissions to access"):
        office.retrain("intake")
    root.execute_command("ACL", "SETUSER", "docintake-office", "~docintake:retrain*")
    assert office.retrain("intake", ignore_result=True).id
    assert root.llen("docintake:retrain\x06\x163") == 1
    root.flushall()


def test_a_case_is_erased_by_a_user_who_may_look_through_redis(
    server: Guarded, root: redis.Redis, office: IntakeClient, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for case in ("case-1", "case-2"):
        office.classify("file:///srv/inbox/1.pdf", external_id=case, ignore_result=True)
    monkeypatch.setenv("DOCINTAKE_BROKER__KEY_PREFIX", PREFIX)
    monkeypatch.setenv("DOCINTAKE_BROKER__URL", server.url("docintake-node"))
    assert "broker_refused" in str(cli("forget", "--external-id", "case-1", "--yes", "--json").exception)
    monkeypatch.setenv("DOCINTAKE_BROKER__URL", server.url("docintake-forget"))
    erased = cli("forget", "--external-id", "case-1", "--yes", "--json")
    assert erased.exit_code == 0, erased.exception
    assert json.loads(erased.stdout)["counts"]["messages"] == 1
    assert root.llen("docintake:classify\x06\x163") == 1
    root.flushall()


@pytest.mark.parametrize(("user", "sound"), [("docintake-node", True), ("docintake-office", False)])
def test_the_doctor_says_as_whom_and_what_is_to_be_granted(
    server: Guarded, cli: Cli, monkeypatch: pytest.MonkeyPatch, user: str, sound: bool
) -> None:
    monkeypatch.setenv("DOCINTAKE_BROKER__URL", server.url(user))
    monkeypatch.setenv("DOCINTAKE_BROKER__KEY_PREFIX", PREFIX)
    said = cli("doctor").stdout
    (line,) = [line for line in said.splitlines() if " broker " in line]
    assert line.startswith("✓" if sound else "✗")
    if sound:
        assert "as docintake-node, not encrypted" in line
    else:
        assert "NOPERM" in line
        assert "`ACL SETUSER docintake-office +info +time " in line
    assert "canary" not in said


def test_a_wrong_password_is_said_to_be_one(server: Guarded, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCINTAKE_BROKER__URL", f"redis://docintake-node:canary@localhost:{server.port}/0")
    said = cli("doctor").stdout
    (line,) = [line for line in said.splitlines() if " broker " in line]
    assert "check user and password" in line
    assert "canary" not in said
