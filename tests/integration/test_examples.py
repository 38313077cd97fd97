"""Each example, as its first lines say, against one real node."""

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import redis
from node import PATIENCE, Node, wait_until
from printed import pdf
from serving import fake_office

from core.settings import PROJECT

EXAMPLES = PROJECT / "examples"
NODE_JS = shutil.which("node")


@dataclass
class Office:
    """A back office beside one node, whose environment is that of the examples."""

    inbox: Path
    environment: Mapping[str, str]
    redis: redis.Redis
    log: Path

    def paper(self, word: str = "receipt") -> Path:
        path = self.inbox / f"{uuid.uuid4().hex}.pdf"
        path.write_bytes(pdf([word, f"number {path.stem}"]))
        return path

    def run(self, *words: object, status: int = 0) -> str:
        """What it printed."""
        done = subprocess.run(
            [str(word) for word in words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def serving(self, *words: object, port: int, **environment: str) -> Iterator[httpx2.Client]:
        """An example that runs until it is stopped, once it answers."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in words],
                env={**self.environment, "INBOX": str(self.inbox), "PORT": str(port), **environment},
                stdout=log,
                stderr=log,
            )
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                wait_until(lambda: answers(client), f"{words[-1]} answers: {self.log.read_text()}")
                yield client
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)


def answers(client: httpx2.Client) -> bool:
    try:
        client.get("/")
    except httpx2.TransportError:
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def office(
    fresh_database: Callable[[], AbstractContextManager[str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    prefix = f"{uuid.uuid4().hex}:"
    own = {name: value for name, value in os.environ.items() if not name.startswith("DOCINTAKE_")}
    # As installed from this checkout, whichever one the environment has.
    (folder / "installed").mkdir()
    (folder / "installed" / "docintake_contract").symlink_to(PROJECT / "core" / "contract")
    environment = {
        **own,
        "PYTHONPATH": str(folder / "installed"),
        "DOCINTAKE_BROKER__URL": redis_url,
        "DOCINTAKE_BROKER__KEY_PREFIX": prefix,
    }
    with (
        fresh_database() as url,
        fake_office(url, redis_url, prefix, folder) as (settings, _),
        redis.Redis.from_url(redis_url, decode_responses=True) as connection,
        Node(settings, folder) as node,
    ):
        node.until_ready()
        yield Office(folder, environment, connection, folder / "example.log")
        assert node.terminate()[0] == 0
        assert not [line for line in node.log.read_text().splitlines() if '"level": "error"' in line]


def test_plain_celery(office: Office) -> None:
    said = office.run(sys.executable, EXAMPLES / "send_task.py", office.paper().as_uri())
    assert said.split()[::2] == ["receipt", "classified"]
    refused = office.run(sys.executable, EXAMPLES / "send_task.py", "file:///nowhere/1.pdf", status=1)
    assert refused.startswith("RejectedInput not_allowed: ")


def test_the_client(office: Office) -> None:
    said = office.run(sys.executable, EXAMPLES / "client.py", office.paper().as_uri(), "letter").splitlines()
    assert said[0].startswith("receipt ")
    assert said[1] == "How many pages are there? 1"
    assert said[-1].endswith("letter, not receipt")


def test_a_folder_is_imported_and_interrupted_goes_on_where_it_was(office: Office, tmp_path: Path) -> None:
    folder, table = office.inbox / "batch", tmp_path / "classes.csv"
    folder.mkdir()
    for number in range(5):
        shutil.copy(office.paper("letter" if number % 2 else "receipt"), folder / f"{number}.pdf")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing else")
    command = sys.executable, EXAMPLES / "import_folder.py", folder, table
    office.run(*command)
    whole = table.read_text()
    rows = {row["file"]: row for row in csv.DictReader(whole.splitlines())}
    assert [rows[f"{number}.pdf"]["class"] for number in range(5)] == ["receipt", "letter"] * 2 + ["receipt"]
    assert (rows["broken.pdf"]["status"], rows["broken.pdf"]["why"][:10]) == ("rejected", "unreadable")
    table.write_text("".join(whole.splitlines(keepends=True)[:3]))
    office.run(*command)
    assert table.read_text() == whole


@pytest.mark.skipif(NODE_JS is None, reason="there is no node here")
def test_node_js(office: Office) -> None:
    said = office.run(NODE_JS, EXAMPLES / "producer.mjs", office.paper("letter").as_uri())
    assert said.split()[::2] == ["letter", "classified"]
    assert "not_allowed" in office.run(NODE_JS, EXAMPLES / "producer.mjs", "file:///nowhere/1.pdf", status=1)


def test_fastapi(office: Office) -> None:
    port = free_port()
    command = sys.executable, "-m", "uvicorn", "fastapi_app:app", "--app-dir", EXAMPLES, "--port", port
    with office.serving(*command, port=port) as client:
        taken_in = client.post("/documents", content=office.paper().read_bytes())
        broken = client.post("/documents", content=b"nothing that could be read")
        assert (taken_in.status_code, broken.status_code) == (202, 202)
        places = [f"/documents/{each.json()['id']}" for each in (taken_in, broken)]
        for place in places:
            wait_until(lambda place=place: client.get(place).status_code != 202, "it has ended")
        assert client.get(places[0]).json()["class"] == "receipt"
        assert client.get(places[1]).status_code == 422
        assert client.get(f"/documents/{uuid.uuid4()}").status_code == 404


def test_django_hears_of_results_on_its_own_queue(office: Office, tmp_path: Path) -> None:
    port = free_port()
    command = sys.executable, EXAMPLES / "django_app" / "manage.py"
    with office.serving(*command, port=port, OFFICE_DB=str(tmp_path / "office.db")) as client:
        page = client.get("/").text
        form = {"csrfmiddlewaretoken": page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]}
        for name, content in {"letter.pdf": office.paper("letter").read_bytes(), "broken.pdf": b"%PDF-1.7"}.items():
            assert client.post("/", data=form, files={"document": (name, content)}).status_code == 302
        for row in ("<td>letter.pdf</td><td>classified</td><td>letter ", "<td>broken.pdf</td><td>rejected</td>"):
            wait_until(lambda row=row: row in client.get("/").text, f"{row}: {office.log.read_text()}")
    prefix = office.environment["DOCINTAKE_BROKER__KEY_PREFIX"]
    wait_until(lambda: not office.redis.hlen(f"{prefix}backoffice.unacked"), "the acknowledgements")
    assert office.redis.llen(f"{prefix}backoffice") == 0
