"""A real Flower before real nodes: what it shows of them, and to whom."""

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from node import PATIENCE, Node, Process, disconnect, wait_until
from printed import pdf
from serving import Cli, fake_office
from stand_in import __file__ as stand_in

from core.contract import CLASSIFY, RETRAIN, IntakeClient, IntakeError
from worker.embedded import _free_port

PRIVATE = "Quetzalcoatl"
LOGIN = "ann:Popocatepetl"


class Watched:
    """A back office with a node, a trainer whose runs wait for a file, and Flower, asked as a browser would."""

    def __init__(self, client: IntakeClient, password: str, folder: Path, flower: Process, port: int) -> None:
        self.client = client
        self.password = password
        self.folder = folder
        self.flower = flower
        self.port = port

    def get(self, path: str, login: str = LOGIN, method: str = "GET") -> bytes:
        request = Request(
            f"http://127.0.0.1:{self.port}{path}", method=method, data=b"" if method == "POST" else None
        )
        if login:
            request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
        with urlopen(request, timeout=30) as answer:  # noqa: S310 - our own
            said: bytes = answer.read()
        return said

    def ask(self, path: str) -> Any:
        return json.loads(self.get(path))

    def refused(self, path: str, login: str = LOGIN, method: str = "GET") -> int:
        with pytest.raises(HTTPError) as refusal:
            self.get(path, login, method)
        refusal.value.close()
        return refusal.value.code

    def state(self, task_id: str) -> tuple[str, str | None]:
        """As Flower knows it, and the words beside it."""
        found = self.ask("/api/tasks").get(task_id, {})
        return found.get("state", ""), found.get("result")

    def until(self, task_id: str, state: str) -> dict[str, Any]:
        wait_until(lambda: self.state(task_id)[0] == state, f"Flower shows {task_id} as {state}")
        shown: dict[str, Any] = self.ask(f"/api/task/info/{task_id}")
        return shown

    def heard(self) -> set[str]:
        """Nodes that it has events of."""
        return {node["hostname"] for node in self.ask("/workers?json=1")["data"]}

    def answers(self) -> bool:
        try:
            return self.get("/healthcheck", login="") == b"OK"
        except OSError:
            return False


@pytest.fixture(scope="module")
def watched(
    fresh_database: Callable[[], AbstractContextManager[str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    logins = folder / "logins"
    logins.write_text(f"{LOGIN}\n")
    prefix, port = f"{uuid.uuid4().hex}:", _free_port()
    with (
        fresh_database() as url,
        fake_office(url, redis_url, prefix, folder) as (settings, _),
        Process(settings, folder, "flower", ["flower", "--logins", str(logins), "--port", str(port)]) as flower,
    ):
        settings.data_dir.mkdir()
        watched = Watched(
            IntakeClient(redis_url, key_prefix=prefix), str(urlsplit(redis_url).password), folder, flower, port
        )
        # First: it knows what happens from then on.
        wait_until(watched.answers, "Flower answers")
        with (
            Node(settings, folder) as node,
            Node(settings, folder, "trainer", queues="retrain", program=[stand_in]) as trainer,
        ):
            node.until_ready()
            trainer.until_ready()
            # From then on it hears of tasks as well.
            wait_until(lambda: {"node@test", "trainer@test"} <= watched.heard(), "Flower hears of the nodes")
            yield watched
        disconnect(watched.client)
        assert flower.terminate()[0] == 0
        assert not [line for line in flower.log.read_text().splitlines() if '"error"' in line or LOGIN[4:] in line]


def test_tasks_show_with_their_states_and_without_what_they_hold(watched: Watched) -> None:
    letter = watched.folder / "letter.pdf"
    letter.write_bytes(pdf(["letter", "a letter", PRIVATE]))
    classified = watched.client.classify(letter.as_uri(), metadata={"case": PRIVATE})
    assert classified.get(PATIENCE).prediction == "letter"
    refused = watched.client.classify("file:///nowhere/letter.pdf", metadata={"case": PRIVATE})
    with pytest.raises(IntakeError):
        refused.get(PATIENCE)
    shown = watched.until(classified.id, "SUCCESS")
    assert (shown["name"], shown["worker"]) == (CLASSIFY, "node@test")
    assert shown["runtime"] > 0
    assert watched.until(refused.id, "FAILURE")["exception"].startswith("RejectedInput('not_allowed'")
    page = watched.get(f"/task/{refused.id}").decode()
    assert "RejectedInput: not_allowed" in page
    assert "letter.pdf" not in page
    for page in ("/tasks", f"/task/{classified.id}", "/api/tasks", f"/api/task/info/{classified.id}"):
        assert PRIVATE not in watched.get(page).decode(), page


def test_a_run_shows_how_far_it_is(watched: Watched) -> None:
    run = watched.client.retrain("intake", overrides={"folder": str(watched.folder)})
    assert watched.until(run.id, "PROGRESS")["result"] == "training 1/3"
    (watched.folder / "go").touch()
    run.get(PATIENCE)
    shown = watched.until(run.id, "SUCCESS")
    assert (shown["name"], shown["worker"]) == (RETRAIN, "trainer@test")


def test_nodes_show_with_their_queues_and_pools(watched: Watched) -> None:
    nodes = watched.ask("/api/workers?refresh=1")
    assert set(nodes) == {"node@test", "trainer@test"}
    queues = {name: {queue["name"] for queue in node["active_queues"]} for name, node in nodes.items()}
    assert queues == {"node@test": {"classify", "qa"}, "trainer@test": {"retrain"}}
    assert CLASSIFY in nodes["node@test"]["registered"]
    # Also what a node was configured with.
    for page in ("/", "/worker/node@test", "/api/workers", "/broker"):
        said = watched.get(page).decode()
        assert "node@test" in said or page == "/broker"
        assert watched.password not in said, page


def test_queues_show_with_what_waits_in_them(watched: Watched) -> None:
    assert {queue["name"]: queue["messages"] for queue in watched.ask("/api/queues/length")["active_queues"]} == {
        "classify": 0,
        "qa": 0,
        "retrain": 0,
    }


def test_nobody_looks_without_a_password(watched: Watched) -> None:
    for path in ("/", "/tasks", "/broker", "/api/tasks", "/api/workers"):
        assert watched.refused(path, login="") == 401, path
        assert watched.refused(path, login="ann:wrong") == 401, path


def test_nothing_can_be_changed_and_no_result_be_read(watched: Watched) -> None:
    for path in ("worker/shutdown/node@test", "task/revoke/some-task", f"task/send-task/{CLASSIFY}"):
        assert watched.refused(f"/api/{path}", method="POST") == 403, path
    assert watched.refused("/api/task/result/some-task") == 503


def test_without_a_list_of_who_may_look_it_does_not_start(cli: Cli, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert (
        str(cli("flower", "--logins", missing).exception)
        == f"bad_logins: {missing} cannot be read (FileNotFoundError)"
    )
    empty = tmp_path / "empty"
    empty.write_text(f"{PRIVATE}\n")
    said = str(cli("flower", "--logins", empty).exception)
    assert said.startswith("bad_logins")
    assert PRIVATE not in said
