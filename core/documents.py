"""From a reference to the bytes it names: from allowed roots, within limits, and sniffed for what they are."""

import base64
import binascii
import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from core import settings
from core.aside import aside
from core.contract import INLINE_LIMIT, DocumentReference
from core.errors import IntakeError, RejectedInput, TransientFailure

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)|file(?=:)", re.IGNORECASE)
_SCHEMED: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:[/\\]", re.IGNORECASE)
_LOGIN: Final = re.compile(r"(?:^|(?<=[/\\]{2}))[^/?#\\]*@")
_SIGNED: Final = re.compile(r"[?#].*", re.DOTALL)
_CHUNK: Final = 1024 * 1024
_AT_LEAST: Final = 64 * 1024
"""Bytes that a file is asked for with one call, if it is not larger."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document's bytes, what they are (`media_type`), and where they came from (None: inside the request)."""

    sha256: str
    media_type: str
    content: bytes = field(repr=False)
    uri: str | None = None

    @classmethod
    def of(cls, content: bytes, uri: str | None = None) -> "Document":
        """Hash and sniff. Raises RejectedInput(`empty` or `unsupported_type`)."""
        if not content:
            raise RejectedInput("empty", f"{_shown(uri)} has no bytes: send the file again")
        return cls(hashlib.sha256(content).hexdigest(), _media_type(content, uri), content, uri)


def fetch(reference: DocumentReference, limits: settings.Documents) -> Document:
    """Get what `reference` names by URI or holds inline; a `document_id` is for the caller to resolve first.

    Raises RejectedInput: `not_allowed`, `bad_uri`, `not_found`, `not_readable`, `no_driver`, `bad_base64`, `empty`,
    `not_a_file`, `too_large`, `unsupported_type`; TransientFailure: `fetch_failed`, `fetch_timeout`.
    """
    if reference.content is not None:
        return Document.of(_decoded(reference.content, limits.max_bytes))
    if reference.uri is None:
        raise RejectedInput("unresolved", "a document_id is looked up before it is fetched; send its URI instead")
    return Document.of(fetch_bytes(reference.uri, limits), reference.uri)


def fetch_bytes(uri: str, limits: settings.Documents) -> bytes:
    """What stands at a URI, whatever it is. Raises as `fetch` does."""
    read = _reader(uri, limits)
    content = _within(limits.fetch_timeout, uri, lambda: read(limits.max_bytes + 1))
    if len(content) > limits.max_bytes:
        raise RejectedInput("too_large", f"{_shown(uri)} has more than {limits.max_bytes:,} bytes (max_bytes)")
    return content


def choose_pages(pages: str, page_count: int, limits: settings.Documents) -> list[int]:
    """The 1-based page numbers, ascending, that `first`, `all` or such as `1-3,7` means in this document.

    What lies beyond the last page is left out. Raises RejectedInput: `no_such_page` when nothing is left,
    `too_many_pages` when more are left than `max_pages_read`.
    """
    wanted = _pages_up_to(page_count, pages)
    if not wanted:
        raise RejectedInput("no_such_page", f"the document has {page_count} pages; none of them is in {pages!r}")
    if len(wanted) > limits.max_pages_read:
        raise RejectedInput(
            "too_many_pages",
            f"{pages!r} means {len(wanted)} pages of this document; one request may have "
            f"{limits.max_pages_read} read (max_pages_read): ask for fewer",
        )
    return wanted


def possible_pages(pages: str, limits: settings.Documents) -> list[int]:
    """What `choose_pages` gives at most, whatever the document: some of the first of these, if it gives anything."""
    return _pages_up_to(limits.max_pages, pages)[: limits.max_pages_read]


def _pages_up_to(last: int, pages: str) -> list[int]:
    if pages in ("first", "all"):
        return [1] if pages == "first" else list(range(1, last + 1))
    bounds = [[int(number) for number in part.split("-")] for part in pages.split(",")]
    return sorted({page for part in bounds for page in range(max(part[0], 1), min(part[-1], last) + 1)})


def _reader(uri: str, limits: settings.Documents) -> Callable[[int], bytes]:
    """How to read up to so many bytes of `uri`, once it is known to lie under an allowed root."""
    scheme = _SCHEME.match(uri)
    if scheme is None or scheme.group().lower() == "file":
        path = _path(uri) if scheme else Path(uri)
        return lambda size: _read_file(path, limits.roots, size, uri)
    parts = _split(uri)
    if not any(_covers(root, parts) for root in limits.roots):
        raise _not_allowed(uri)
    return lambda size: _read_remote(uri, parts.scheme, size, limits)


def _path(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise RejectedInput(
            "bad_uri", f"{_shown(uri)} is no file URI: write file:///folder/name, with ?, # and % percent-encoded"
        )
    path = unquote(parts.path, errors="surrogateescape")
    if "\0" in path:
        raise RejectedInput("bad_uri", "a path holds no NUL character")
    return Path(path)


def _read_file(path: Path, roots: Iterable[str], size: int, uri: str) -> bytes:
    """Read a regular file under one of `roots`, every part of the way opened without following links.

    Where a link is in the way, or the way goes up again, links are resolved first and the result is compared with the
    roots: one that is swapped in after that leads nowhere.
    """
    folders = [Path(root).absolute() for root in roots if "://" not in root]
    plain = path.absolute()
    if ".." not in plain.parts and (folder := _folder_of(plain, folders)):
        try:
            return _read_under(folder, plain, size, uri)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
    real = Path(os.path.realpath(plain))
    real_folder = _folder_of(real, [Path(os.path.realpath(folder)) for folder in folders])
    if real_folder is None:
        raise _not_allowed(uri)
    return _read_under(real_folder, real, size, uri)


def _folder_of(path: Path, folders: Iterable[Path]) -> Path | None:
    return next((folder for folder in folders if path.is_relative_to(folder)), None)


def _read_under(folder: Path, path: Path, size: int, uri: str) -> bytes:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for part in path.relative_to(folder).parts:
            # O_NONBLOCK: a FIFO in the way must not be waited for.
            inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
            os.close(handle)
            handle = inner
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_dev in _devices_of_the_kernel():
            raise RejectedInput("not_a_file", f"{_shown(uri)} is no regular file")
        # Some file systems know no sizes beforehand.
        return _up_to(size, max(found.st_size + 1, _AT_LEAST), partial(os.read, handle))
    finally:
        os.close(handle)


@cache
def _devices_of_the_kernel() -> frozenset[int]:
    """What stands there calls itself a regular file and holds, for one, the environment of every process."""
    return frozenset(os.stat(place).st_dev for place in ("/proc", "/sys") if os.path.ismount(place))


def _split(uri: str) -> SplitResult:
    """Take a remote URI apart. Whatever could mean another place to the driver than to the roots is refused."""
    try:
        parts = urlsplit(uri)
        has_login = parts.username is not None or parts.password is not None
    except ValueError as error:
        raise RejectedInput("bad_uri", "the URI cannot be taken apart: check its host and port") from error
    if has_login or "@" in parts.netloc:
        raise RejectedInput("not_allowed", "a URI with a login in it is refused: set credentials up on the worker")
    path = unquote(unquote(parts.path)).replace("\\", "/")
    if "::" in uri or ".." in path.split("/") or not uri.isprintable():
        raise RejectedInput("bad_uri", f"{_shown(uri)} is refused: write scheme://host/path, without .. or ::")
    return parts


def _covers(root: str, parts: SplitResult) -> bool:
    """Whether a root such as `s3://scans/2024/` covers the URI: same scheme, same host, and whole path parts."""
    allowed = urlsplit(root)

    def under(path: str, folder: str) -> bool:
        folders = [part for part in folder.split("/") if part]
        return path.removeprefix("/").split("/")[: len(folders)] == folders

    # Some drivers decode the path and some do not: it has to lie under the root either way.
    return (
        "://" in root
        and (allowed.scheme.lower(), allowed.netloc.lower()) == (parts.scheme.lower(), parts.netloc.lower())
        and under(parts.path, allowed.path)
        and under(unquote(parts.path), unquote(allowed.path))
    )


def _read_remote(uri: str, scheme: str, size: int, limits: settings.Documents) -> bytes:
    import fsspec

    try:
        fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        raise RejectedInput(
            "no_driver",
            f"this worker has no driver for {scheme}: — install docintake[remote] or fsspec's driver for it",
        ) from error
    options: dict[str, Any] = {"use_listings_cache": False}
    how: dict[str, Any] = {}
    if scheme in ("http", "https"):
        from core.web import session

        # A redirect could lead out of the allowed roots, so none is followed. Block size 0 reads one plain stream;
        # any size given spares a HEAD request, which many servers refuse. A session is of one event loop and of one
        # set of limits: it is not kept.
        how = {"size": 1}
        client = partial(session, limits.fetch_timeout, limits.networks)
        options = {"block_size": 0, "allow_redirects": False, "get_client": client, "skip_instance_cache": True}
    filesystem, path = fsspec.url_to_fs(scheme + uri[len(scheme) :], **options)
    with filesystem.open(path, "rb", **how) as file:
        return _up_to(size, _CHUNK, file.read)


def _up_to(size: int, at_once: int, read: Callable[[int], bytes]) -> bytes:
    chunks, missing = [], size
    while missing > 0 and (chunk := read(min(missing, at_once))):
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)


def _within(seconds: float, uri: str, read: Callable[[], bytes]) -> bytes:
    """Have it read aside, so that a server or mount that hangs does not take the caller with it."""
    coming = aside(read)
    try:
        failure = coming.exception(seconds)
    except TimeoutError as error:
        raise TransientFailure(
            "fetch_timeout", f"{_shown(uri)} did not come within {seconds:g} s (fetch_timeout)"
        ) from error
    if failure is None:
        return coming.result()
    if isinstance(failure, IntakeError):
        raise failure
    raise _fetch_error(failure, uri) from failure


def _fetch_error(error: BaseException, uri: str) -> IntakeError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return RejectedInput("not_found", f"{_shown(uri)} does not exist")
    if isinstance(error, TimeoutError):
        return TransientFailure("fetch_timeout", f"{_shown(uri)} did not come in time (fetch_timeout)")
    if isinstance(error, PermissionError):
        return RejectedInput("not_readable", f"the worker may not read {_shown(uri)}: give it permission")
    if "://" not in uri or uri.lower().startswith("file:"):
        return RejectedInput("not_readable", f"{_shown(uri)} cannot be opened: {type(error).__name__}")
    return TransientFailure("fetch_failed", f"{_shown(uri)} could not be fetched: {type(error).__name__}")


def _decoded(content: str, max_bytes: int) -> bytes:
    try:
        # MIME encoders break lines; nothing else may stand between the digits.
        decoded = base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RejectedInput("bad_base64", "the inline content is not base64") from error
    limit = min(INLINE_LIMIT, max_bytes)
    if len(decoded) > limit:
        raise RejectedInput("too_large", f"the inline content has more than {limit:,} bytes: send a URI instead")
    return decoded


def _media_type(content: bytes, uri: str | None) -> str:
    """What the bytes are, by their signatures; names and extensions say nothing."""
    head = content[:1024]
    for signature, media_type in _SIGNATURES:
        if head.startswith(signature):
            return media_type
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "image/bmp"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        size = min(max(int.from_bytes(head[:4]), 16), len(head))
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}
        if brands & _AVIF_BRANDS:
            return "image/avif"
        if brands & _HEIC_BRANDS:
            return "image/heic"
    # Readers have always put up with junk before the header (PDF 1.7, implementation note 13).
    if b"%PDF-" in head:
        return "application/pdf"
    raise RejectedInput(
        "unsupported_type",
        f"{_shown(uri)} is neither a PDF nor an image that can be read (PNG, JPEG, TIFF, WebP, HEIC, AVIF, GIF, BMP, "
        "JPEG 2000)",
    )


_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0", "image/tiff"),
    (b"MM\0+", "image/tiff"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/jp2"),
)
_BMP_HEADERS: Final = {12, 16, 40, 52, 56, 64, 108, 124}
_AVIF_BRANDS: Final = {b"avif", b"avis"}
_HEIC_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


def _not_allowed(uri: str) -> RejectedInput:
    return RejectedInput(
        "not_allowed", f"{_shown(uri)} is under none of the worker's document roots (documents.roots)"
    )


def _shown(uri: str | None) -> str:
    """The URI as it may stand in a message: logins stand before the host, signatures and tokens after the path."""
    if uri is None:
        return "the inline document"
    bare = _LOGIN.sub("", uri)
    return repr((_SIGNED.sub("", bare) if _SCHEMED.match(uri) else bare)[-300:])
