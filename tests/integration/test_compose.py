"""docker-compose.yml: well formed, closed up, and, run as processes of this machine, a docintake that works."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from composed import SECRETS, Composed, read, seconds
from guarded import PREFIX, rules
from node import PATIENCE, disconnect, wait_until
from printed import pdf

from core.contract import IntakeClient
from core.settings import PROJECT
from worker.app import GRACE

DOCINTAKE = {name: said for name, said in read()["services"].items() if said["image"].startswith("docintake:")}
SERVICES = read()["services"]
OWN = {"DOCINTAKE_MODEL__BACKEND": "fake", "DOCINTAKE_READING__PROCESSES": "1"}
"""What differs here: the model is not the point."""


def test_the_file_is_one_that_compose_takes() -> None:
    tool = Path(sys.executable).parent / "check-jsonschema"
    words = ["--builtin-schema", "vendor.compose-spec", PROJECT / "docker-compose.yml"]
    done = subprocess.run([tool, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_has_nothing_that_linters_warn_of() -> None:
    tool = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([tool, PROJECT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_no_more_than_it_needs(name: str) -> None:
    said = SERVICES[name]
    assert said["read_only"]
    assert said["cap_drop"] == ["ALL"]
    assert said["security_opt"] == ["no-new-privileges:true"]
    assert int(said["user"].partition(":")[0]) > 0
    assert said["mem_limit"]
    assert said["pids_limit"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices", "env_file"} & set(said)
    # Pinned, and reached from this machine alone.
    assert ":" in said["image"]
    assert not said["image"].endswith(":latest")
    assert all(port.startswith("127.0.0.1:") for port in said.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_given_its_secrets_as_files_and_none_in_variables(name: str) -> None:
    said = SERVICES[name]
    words = [*said.get("environment", {}).values(), *said["command"]] if "command" in said else []
    named = {word.removeprefix(SECRETS) for word in words if word.startswith(SECRETS)}
    assert named <= set(said.get("secrets", ()))
    for variable, value in said.get("environment", {}).items():
        assert value.startswith(SECRETS) or not variable.endswith(("URL", "PASSWORD", "URL_FILE", "PASSWORD_FILE"))
    assert set(said.get("secrets", ())) <= set(read()["secrets"])


@pytest.mark.parametrize("name", [name for name, said in DOCINTAKE.items() if said["restart"] != "no"])
def test_what_runs_on_is_watched_and_has_time_to_stop(name: str) -> None:
    said = DOCINTAKE[name]
    assert said["healthcheck"]["test"][0] == "CMD"
    assert said["init"]
    assert seconds(said["stop_grace_period"]) >= 2 * GRACE


def test_redis_users_are_those_of_the_docs_and_one_that_may_ask_whether_it_lives() -> None:
    lines = [line.split()[1:] for line in (PROJECT / "deploy" / "redis" / "users.acl").read_text().splitlines()]
    users = {name: words for name, *words in lines}
    assert users.pop("docintake-health") == ["on", "nopass", "resetkeys", "resetchannels", "-@all", "+ping"]
    for name, words in users.items():
        documented = [f"#{{{name.replace('docintake', 'broker')}}}" if w[0] == ">" else w for w in rules()[name]]
        assert words == documented, name
    assert set(users) == set(rules())


def test_passwords_are_made_once_each_another_one_and_for_their_readers_alone(tmp_path: Path) -> None:
    made = [tmp_path / name for name in ("one", "other")]
    for folder in made:
        command = [sys.executable, PROJECT / "deploy" / "make_secrets.py", folder]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
        assert subprocess.run(command, capture_output=True, check=False).returncode == 1
        assert folder.stat().st_mode & 0o777 == 0o700
    needed = {Path(secret["file"]).name for secret in read()["secrets"].values()}
    texts = [{file.name: file.read_text() for file in folder.iterdir()} for folder in made]
    assert needed <= set(texts[0])
    assert all(texts[0][name] != texts[1][name] for name in texts[0])


@pytest.fixture(scope="module")
def composed() -> Iterator[Composed]:
    with Composed(["cpu"], OWN) as world:
        yield world


def test_a_document_goes_all_the_way_and_everything_stops_in_time(composed: Composed) -> None:
    order = [service.name for service in composed.started]
    assert set(order) == {"redis", "postgres", "roles", "migrate", "classes", "node", "trainer", "beat", "flower"}
    for name in ("trainer", "flower"):
        composed.services[name].until("service_healthy")
    letter = composed.inbox / "letter.pdf"
    letter.write_bytes(pdf(["Dear Ann", "a letter"]))
    url = (composed.secrets / "broker-office").read_text().strip()
    client = IntakeClient(url.replace("@redis:6379", f"@127.0.0.1:{composed.ports['redis']}"), key_prefix=PREFIX)
    result = client.classify(letter.as_uri()).get(PATIENCE)
    assert (result.class_set, result.document.page_count) == ("intake", 1)
    # Flower's user of Redis may hear of it.
    wait_until(lambda: composed.state_in_flower(result.task_id) == "SUCCESS", "Flower shows it")
    client._app.send_task("docintake.unheard_of", queue="classify", ignore_result=True)
    wait_until(lambda: "docintake_dropped_messages_total 1.0" in composed.figures("node"), "it is counted as dropped")
    disconnect(client)
    for service, status, took in composed.stop():
        assert status == 0, (service.name, service.log.read_text())
        assert took < seconds(service.said["stop_grace_period"])
