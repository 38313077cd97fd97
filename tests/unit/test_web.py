"""Fetches from real servers on this machine that answer badly, and from names that lead where they should not."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

import pytest
from printed import file_of, picture

from core.contract import DocumentReference
from core.documents import fetch
from core.errors import IntakeError, RejectedInput, TransientFailure
from core.settings import Documents
from core.web import is_allowed

PNG = file_of(picture(size=(40, 30), text_height=5))
PUBLIC = "192.0.32.7"
LOOPBACK = ip_network("127.0.0.0/8")


class Site(BaseHTTPRequestHandler):
    """Answers each path in its own way, mostly badly."""

    asked: list[tuple[str, dict[str, str]]] = []  # noqa: RUF012 - emptied by the fixture
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers.items())))
        self.close_connection = True
        with suppress(OSError):  # whoever asked is free to hang up
            getattr(self, "_" + self.path.strip("/").split("?")[0].replace(".png", ""))()

    def _head(self, status: int = 200, **headers: Any) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def _page(self) -> None:
        self._head(Content_Length=len(PNG), Set_Cookie="session=hunter2")
        self.wfile.write(PNG)

    def _promises_too_much(self) -> None:
        self._head(Content_Length=len(PNG) + 1000)
        self.wfile.write(PNG)

    def _promises_too_little(self) -> None:
        self._head(Content_Length=len(PNG))
        self.wfile.write(PNG + b"GET / HTTP/1.1\r\n\r\n" * 1000)

    def _promises_a_terabyte(self) -> None:
        self._head(Content_Length=10**12)
        while True:
            self.wfile.write(bytes(100_000))

    def _never_ends(self) -> None:
        self._head(Transfer_Encoding="chunked")
        while True:
            self.wfile.write(b"186a0\r\n" + bytes(100_000) + b"\r\n")

    def _trickles(self) -> None:
        self._head(Content_Length=10**6)
        self.wfile.write(PNG[:9])
        while True:
            self.wfile.write(b"x")
            time.sleep(0.1)

    def _trickles_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            self.wfile.write(b"X-More: 1\r\n")
            time.sleep(0.1)

    def _has_endless_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-More: ")
        while True:
            self.wfile.write(b"x" * 100_000)

    def _talks_nonsense(self) -> None:
        self.wfile.write(b"\x16\x03\x01" + bytes(range(256)))

    def _inflates(self) -> None:
        self._head(Content_Encoding="gzip")
        self.wfile.write(gzip.compress(bytes(200 * 1024**2), 1))

    def _inflates_twice(self) -> None:
        self._head(Content_Encoding="identity, deflate")
        self.wfile.write(PNG)

    def _redirects(self) -> None:
        self._head(302, Location=self.path.partition("?")[2], Content_Length=0)

    def _refuses_with_a_page(self) -> None:
        self._head(403, Content_Length=len(PNG))
        self.wfile.write(PNG)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def port(server: ThreadingHTTPServer) -> int:
    Site.asked.clear()
    return server.server_port


def fetched(uri: str, root: str | None = None, **limits: Any) -> bytes | str:
    """The bytes, or the code of the error."""
    roots = (root or uri.split("/", 3)[0] + "//" + uri.split("/", 3)[2],)
    allowed = Documents(**{"roots": roots, "max_bytes": 1_000_000, "fetch_timeout": 10, **limits})
    try:
        return fetch(DocumentReference(uri=uri), allowed).content
    except IntakeError as error:
        return error.code


@pytest.mark.parametrize(
    ("path", "codes"),
    [
        ("promises_too_much", {"fetch_failed"}),
        ("promises_a_terabyte", {"too_large"}),
        ("never_ends", {"too_large"}),
        ("has_endless_headers", {"fetch_failed"}),
        ("talks_nonsense", {"fetch_failed"}),
        ("inflates", {"not_readable"}),
        ("inflates_twice", {"not_readable"}),
        ("refuses_with_a_page", {"not_readable"}),
        ("redirects?http://169.254.169.254/latest/meta-data/", {"not_allowed"}),
        ("redirects?http://10.0.0.1/page.png", {"not_allowed"}),
        ("redirects?file:///etc/passwd", {"not_allowed"}),
        ("redirects?/page.png", {"not_allowed"}),
    ],
)
def test_a_bad_answer_is_refused_and_never_followed_nor_inflated(port: int, path: str, codes: set[str]) -> None:
    assert fetched(f"http://127.0.0.1:{port}/{path}") in codes
    assert [asked for asked, _ in Site.asked] == [f"/{path}"]


def test_what_goes_on_after_the_promised_length_is_never_part_of_the_document(port: int) -> None:
    # Depending on what has arrived when, it is cut off or taken for a broken answer, which is asked for again.
    assert fetched(f"http://127.0.0.1:{port}/promises_too_little") in (PNG, "fetch_failed")


@pytest.mark.parametrize("path", ["trickles", "trickles_headers"])
def test_an_answer_that_trickles_ends_at_the_deadline_and_leaves_no_thread_behind(port: int, path: str) -> None:
    started = time.monotonic()
    assert fetched(f"http://127.0.0.1:{port}/{path}", fetch_timeout=1) == "fetch_timeout"
    assert time.monotonic() - started < 3
    deadline = time.monotonic() + 5
    while any(thread.name == "fetch" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_request_says_nothing_of_earlier_ones_and_asks_for_plain_bytes(port: int) -> None:
    for _ in range(2):
        assert fetched(f"http://127.0.0.1:{port}/page.png") == PNG
    for _, headers in Site.asked:
        assert headers["Accept-Encoding"] == "identity"
        assert not {"Cookie", "Authorization", "Referer"} & set(headers)


def test_a_proxy_in_the_environment_is_not_asked(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetched(f"http://127.0.0.1:{port}/page.png") == PNG


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "127.1",
        "127.000.000.001",
        "127.0.0.1.",
        "0",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]",
        "１２７.0.0.1",  # noqa: RUF001 - meant
        "127.0.0.1%00",
    ],
)
def test_another_spelling_of_an_allowed_address_is_not_allowed(port: int, host: str) -> None:
    assert fetched(f"http://{host}:{port}/page.png", f"http://127.0.0.1:{port}") in ("not_allowed", "bad_uri")
    assert Site.asked == []


@pytest.mark.parametrize("host", ["2130706433", "0177.0.0.1", "0x7f000001", "127.1"])
def test_an_odd_spelling_leads_nowhere_even_as_a_root(port: int, host: str) -> None:
    assert isinstance(fetched(f"http://{host}:{port}/page.png"), str)
    assert Site.asked == []


Answers = Callable[..., None]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """`names("127.0.0.1", …)`: what names lead to, one answer (of addresses, between spaces) for each time asked."""

    def lead_to(*answers: str) -> None:
        left = list(answers)

        def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
            assert left, "the name was looked up once too often"
            found = []
            for address in left.pop(0).split():
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                at = (address, port, 0, 0) if ":" in address else (address, port)
                found.append((family, socket.SOCK_STREAM, 6, "", at))
            return found

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return lead_to


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        f"{PUBLIC} 127.0.0.1",
        f"127.0.0.1 {PUBLIC}",
    ],
)
def test_a_name_that_leads_into_a_private_network_is_refused(port: int, names: Answers, address: str) -> None:
    names(address)
    assert fetched(f"http://scans.example:{port}/page.png") == "not_allowed"
    assert Site.asked == []


def test_a_name_is_looked_up_once_and_what_was_checked_is_connected_to(port: int, names: Answers) -> None:
    # First a public address, where nobody answers; then, were it asked again, this machine.
    names(PUBLIC, "127.0.0.1")
    assert fetched(f"http://scans.example:{port}/page.png", fetch_timeout=2) in ("fetch_failed", "fetch_timeout")
    assert Site.asked == []


def test_a_name_whose_answer_changed_since_the_last_fetch_is_checked_anew(port: int, names: Answers) -> None:
    uri = f"http://scans.example:{port}/page.png"
    names("127.0.0.1", "169.254.169.254")
    assert fetched(uri, networks=(LOOPBACK,)) == PNG
    assert fetched(uri, networks=(LOOPBACK,)) == "not_allowed"


def test_a_network_that_the_operator_names_is_reached(port: int, names: Answers) -> None:
    names("127.0.0.1", "127.0.0.1")
    assert fetched(f"http://scans.example:{port}/page.png", networks=("127.0.0.0/8",)) == PNG
    assert fetched(f"http://scans.example:{port}/page.png", networks=("10.0.0.0/8",)) == "not_allowed"


def test_localhost_is_this_machine_and_nothing_else(port: int, names: Answers) -> None:
    names("127.0.0.1", "10.0.0.1")
    assert fetched(f"http://localhost:{port}/page.png") == PNG
    assert fetched(f"http://localhost:{port}/page.png") == "not_allowed"


def test_a_refusal_says_how_to_allow_it(names: Answers) -> None:
    names("10.0.0.1")
    with pytest.raises(RejectedInput, match=r"scans\.example.*documents\.networks"):
        fetch(DocumentReference(uri="http://scans.example/a.png"), Documents(roots=("http://scans.example",)))


def test_a_name_that_leads_nowhere_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(TransientFailure) as caught:
        fetch(DocumentReference(uri="http://scans.example/a.png"), Documents(roots=("http://scans.example",)))
    assert caught.value.code == "fetch_failed"


def test_public_addresses_are_allowed() -> None:
    for address in (PUBLIC, "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"):
        assert is_allowed(address, ()), address
