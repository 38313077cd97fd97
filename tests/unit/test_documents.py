import base64
import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from printed import file_of, pdf, picture
from pydantic import ValidationError

from core.contract import INLINE_LIMIT, DocumentReference
from core.documents import Document, choose_pages, fetch, fetch_bytes
from core.errors import RejectedInput, TransientFailure
from core.settings import Documents

PNG = file_of(picture(size=(40, 30), text_height=5))


SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"BM", b"RIFF", b"\0\0\0\x18ftyp", b"%PDF-", b"\xff\xd8\xff")


def code_of(uri: str, limits: Documents) -> str:
    with pytest.raises((RejectedInput, TransientFailure)) as caught:
        fetch(DocumentReference(uri=uri), limits)
    return caught.value.code


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "page.png").write_bytes(PNG)
    return folder


@pytest.fixture
def limits(inbox: Path) -> Documents:
    return Documents(roots=(str(inbox),), max_bytes=10_000, fetch_timeout=5)


def test_a_file_is_fetched_by_uri_and_by_plain_path(inbox: Path, limits: Documents) -> None:
    for uri in ((inbox / "page.png").as_uri(), str(inbox / "page.png")):
        document = fetch(DocumentReference(uri=uri), limits)
        assert document == Document(hashlib.sha256(PNG).hexdigest(), "image/png", PNG, uri)


def test_spaces_and_other_alphabets_in_a_name_are_no_obstacle(inbox: Path, limits: Documents) -> None:
    odd = inbox / "März & 100% #1? 文件.png"
    odd.write_bytes(PNG)
    assert fetch(DocumentReference(uri=odd.as_uri()), limits).content == PNG
    assert fetch(DocumentReference(uri=str(odd)), limits).content == PNG


def test_a_relative_root_and_a_relative_path_start_at_the_current_folder(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(inbox.parent)
    assert fetch(DocumentReference(uri="inbox/page.png"), Documents(roots=("inbox",))).content == PNG


def test_nothing_outside_the_roots_is_read(inbox: Path, limits: Documents) -> None:
    outside = inbox.parent / "inbox2"
    outside.mkdir()
    (outside / "page.png").write_bytes(PNG)
    (inbox / "link.png").symlink_to(outside / "page.png")
    (inbox / "folder").symlink_to(outside)
    for path in ("../inbox2/page.png", "link.png", "folder/page.png", "%2e%2e/inbox2/page.png"):
        assert code_of(f"file://{inbox}/{path}", limits) == "not_allowed", path
    assert code_of(str(outside / "page.png"), limits) == "not_allowed"
    assert code_of("/etc/passwd", limits) == "not_allowed"
    assert code_of(str(inbox / "page.png"), Documents()) == "not_allowed"


def test_a_link_that_stays_inside_the_root_is_followed(inbox: Path, limits: Documents) -> None:
    (inbox / "link.png").symlink_to(inbox / "page.png")
    assert fetch(DocumentReference(uri=str(inbox / "link.png")), limits).content == PNG


def test_a_link_swapped_in_after_the_check_is_not_followed(
    inbox: Path, limits: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox.parent / "secret").mkdir()
    (inbox.parent / "secret" / "page.png").write_bytes(PNG)
    (inbox / "folder").symlink_to(inbox.parent / "secret")
    # Resolved while "folder" was still a folder.
    monkeypatch.setattr(os.path, "realpath", str)
    assert code_of(str(inbox / "folder" / "page.png"), limits) in ("not_readable", "not_found")


def test_only_regular_files_are_read(inbox: Path, limits: Documents) -> None:
    os.mkfifo(inbox / "pipe")
    assert code_of(str(inbox / "pipe"), limits) == "not_a_file"
    assert code_of(str(inbox), limits) == "not_a_file"
    assert code_of("/dev/zero", Documents(roots=("/dev",))) == "not_a_file"


def test_a_missing_file_is_not_found(inbox: Path, limits: Documents) -> None:
    assert code_of(str(inbox / "none.png"), limits) == "not_found"
    assert code_of(str(inbox / "page.png" / "inner.png"), limits) == "not_found"


def test_sizes_are_limited_at_both_ends(inbox: Path, limits: Documents) -> None:
    (inbox / "empty.pdf").touch()
    (inbox / "large.png").write_bytes(PNG + bytes(10_000))
    assert code_of(str(inbox / "empty.pdf"), limits) == "empty"
    assert code_of(str(inbox / "large.png"), limits) == "too_large"


def test_a_uri_that_is_none_is_refused(limits: Documents) -> None:
    for uri in ("file:page.png", "file://otherhost/page.png", "file:///a%00b", "file:///a?b"):
        assert code_of(uri, limits) == "bad_uri", uri


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("memory://scans/2024/page.png", None),
        ("MEMORY://scans/2024/page.png", None),
        ("memory://scans/20245/page.png", "not_allowed"),
        ("memory://scans/page.png", "not_allowed"),
        ("memory://scans/2024/../page.png", "bad_uri"),
        ("memory://scans/2024/%2e%2e/page.png", "bad_uri"),
        ("memory://scans/2024/%252e%252e/page.png", "bad_uri"),
        ("memory://scans/2024/..\\page.png", "bad_uri"),
        ("memory://scans/2024%2Fpage.png", "not_allowed"),
        ("memory://scans2/2024/page.png", "not_allowed"),
        ("file2://scans/2024/page.png", "not_allowed"),
        ("simplecache::memory://scans/2024/page.png", "not_found"),
        ("memory://scans/2024/page.png::file:///etc/passwd", "bad_uri"),
        ("memory://scans/2024/none.png", "not_found"),
    ],
)
def test_a_remote_root_covers_its_scheme_host_and_whole_folders(
    uri: str, code: str | None, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(inbox)
    store = fsspec.filesystem("memory")
    for path in ("/scans/2024/page.png", "/scans/page.png", "/scans/20245/page.png"):
        store.pipe(path, PNG)
    limits = Documents(roots=("memory://scans/2024", "."))
    if code is None:
        assert fetch(DocumentReference(uri=uri), limits).content == PNG
    else:
        assert code_of(uri, limits) == code


def test_a_scheme_without_its_driver_is_refused_by_name() -> None:
    with pytest.raises(RejectedInput, match="nosuch") as caught:
        fetch(DocumentReference(uri="nosuch://host/page.png"), Documents(roots=("nosuch://host",)))
    assert caught.value.code == "no_driver"


@pytest.mark.parametrize(
    "uri",
    [
        "https://me:hunter2@host/page.png",
        "https://hunter2@host/page.png",
        "HTTPS:\\\\me:hunter2@host/page.png",
        "s3://key:hunter2@scans/page.png",
        "https://:hunter2@/page.png",
        "me:hunter2@host/page.png",
    ],
)
def test_a_login_in_a_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ValidationError, match="login") as refused:
        DocumentReference(uri=uri)
    assert "hunter2" not in str(refused.value)
    # What an older worker has kept is refused, too.
    with pytest.raises(RejectedInput) as caught:
        fetch_bytes(uri, Documents(roots=("https://host", "s3://scans")))
    assert caught.value.code in ("not_allowed", "bad_uri")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    ["https://host/page.png?signature=hunter2", "https://host/page.png#token=hunter2", "file:///page.png#hunter2"],
)
def test_messages_hold_no_signatures(uri: str) -> None:
    with pytest.raises(RejectedInput) as caught:
        fetch(DocumentReference(uri=uri), Documents())
    assert "hunter2" not in str(caught.value)


def test_what_the_kernel_says_of_processes_is_no_document(inbox: Path) -> None:
    everything = Documents(roots=("/",))
    (inbox / "link.png").symlink_to("/proc/self/environ")
    for path in ("/proc/self/environ", "/proc/1/cmdline", "/sys/kernel/mm/transparent_hugepage/enabled"):
        assert code_of(path, everything) == "not_a_file", path
    assert code_of(str(inbox / "link.png"), everything) == "not_a_file"
    assert code_of(f"/proc/self/root{inbox}/page.png", Documents(roots=("/proc",))) == "not_allowed"
    assert code_of("/dev/stdin", Documents(roots=("/dev",))) in ("not_allowed", "not_a_file", "not_found")


def test_a_socket_is_no_document(inbox: Path, limits: Documents) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(inbox / "s"))
        assert code_of(str(inbox / "s"), limits) in ("not_a_file", "not_readable")


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([*SIGNATURES, b""]))
def test_any_bytes_are_a_document_or_refused(junk: bytes, signature: bytes) -> None:
    try:
        assert Document.of(signature + junk).media_type
    except RejectedInput as error:
        assert error.code in ("unsupported_type", "empty")  # noqa: PT017 - either is right


@given(
    st.text(max_size=80), st.sampled_from(["", "file:", "file:///", "http://", "memory://scans/", "https://host/"])
)
def test_any_uri_is_fetched_or_refused_from_where_nothing_is_allowed(text: str, start: str) -> None:
    with pytest.raises(RejectedInput) as caught:
        fetch_bytes(start + text, Documents())
    assert caught.value.code in ("not_allowed", "bad_uri", "not_readable")


class Site(BaseHTTPRequestHandler):
    """Answers each path in its own way, plainly or badly."""

    def do_GET(self) -> None:
        status = {
            "/page.png": 200,
            "/moved": 302,
            "/forbidden": 403,
            "/busy": 503,
            "/endless": 200,
            "/hangs": 200,
        }.get(self.path, 404)
        if self.path == "/hangs":
            time.sleep(3)
        self.send_response(status)
        if self.path == "/moved":
            self.send_header("Location", "/page.png")
        if self.path == "/page.png":
            self.send_header("Content-Length", str(len(PNG)))
        self.end_headers()
        try:
            self.wfile.write(PNG)
            while self.path == "/endless":
                self.wfile.write(bytes(100_000))
        except OSError:
            pass  # it was cut short, as it should be

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("missing", "not_found"),
        ("forbidden", "not_readable"),
        ("moved", "not_allowed"),
        ("endless", "too_large"),
        ("busy", "fetch_failed"),
        ("hangs", "fetch_timeout"),
    ],
)
def test_a_web_server_is_read_plainly_or_its_fault_is_named(site: str, path: str, code: str) -> None:
    limits = Documents(roots=(site,), max_bytes=1_000_000, fetch_timeout=1 if path == "hangs" else 10)
    assert fetch(DocumentReference(uri=f"{site}/page.png"), limits).content == PNG
    assert code_of(f"{site}/{path}", limits) == code


def test_a_server_that_is_down_is_worth_another_try() -> None:
    with pytest.raises(TransientFailure) as caught:
        fetch(DocumentReference(uri="http://127.0.0.1:9/page.png"), Documents(roots=("http://127.0.0.1:9",)))
    assert caught.value.code == "fetch_failed"


def test_inline_content_is_base64_of_limited_size(limits: Documents) -> None:
    encoded = base64.encodebytes(PNG).decode()
    document = fetch(DocumentReference(content=encoded), limits)
    assert (document.content, document.uri) == (PNG, None)
    for content, code in (
        ("§§§", "bad_base64"),
        ("abc", "bad_base64"),
        ("", "empty"),
        (base64.b64encode(bytes(INLINE_LIMIT + 1)).decode(), "too_large"),
    ):
        with pytest.raises(RejectedInput) as caught:
            fetch(DocumentReference(content=content), limits)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("GIF", "image/gif"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
        ("WEBP", "image/webp"),
        ("JPEG2000", "image/jp2"),
        ("AVIF", "image/avif"),
        ("HEIF", "image/heic"),
        ("PDF", "application/pdf"),
    ],
)
def test_bytes_say_what_they_are_whatever_the_name_says(kind: str, media_type: str, inbox: Path) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    (inbox / "paper.txt").write_bytes(file_of(picture(size=(64, 64)), kind))
    limits = Documents(roots=(str(inbox),))
    assert fetch(DocumentReference(uri=str(inbox / "paper.txt")), limits).media_type == media_type


def test_junk_before_a_pdf_header_is_put_up_with() -> None:
    assert Document.of(b"\r\n mail header \r\n" + pdf(["text"])).media_type == "application/pdf"


@pytest.mark.parametrize(
    "content", [b"<html>", b"hello", b"PK\3\4", b"BMW and others", b"\0" * 2000, b"\0\0\0\x18ftypmp42"]
)
def test_what_is_no_document_is_refused(content: bytes) -> None:
    with pytest.raises(RejectedInput) as caught:
        Document.of(content)
    assert caught.value.code == "unsupported_type"


@pytest.mark.parametrize(
    ("pages", "count", "numbers"),
    [
        ("first", 9, [1]),
        ("all", 3, [1, 2, 3]),
        ("1-3", 2, [1, 2]),
        ("7,1-3,2", 9, [1, 2, 3, 7]),
        ("2-999999999999", 4, [2, 3, 4]),
    ],
)
def test_a_choice_of_pages_means_those_that_exist(pages: str, count: int, numbers: list[int]) -> None:
    assert choose_pages(pages, count, Documents()) == numbers


def test_a_choice_that_leaves_nothing_or_too_much_is_refused() -> None:
    for pages, count, code in (("4-6", 3, "no_such_page"), ("all", 6, "too_many_pages")):
        with pytest.raises(RejectedInput) as caught:
            choose_pages(pages, count, Documents(max_pages_read=5))
        assert caught.value.code == code
