"""One process that reads pages and may be killed: both ends of it.

Whatever decodes, renders or recognises hostile bytes runs here and nowhere else. The two ends talk over a socket in
JSON and plain pixels, never in pickles: a document that takes the process over must not get at the parent through
its answers. What else it does not get at stands in `core.confinement`.
"""

import ctypes
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from core.confinement import Confinement, allow_seconds, confine
from core.errors import ModelFailure, RejectedInput, TransientFailure
from core.page import Page
from core.picture import LONGEST_SIDE, Pixels

if TYPE_CHECKING:
    # Not imported by the child: it is started often, and needs neither.
    from core import settings
    from core.documents import Document

_KEPT_ENVIRONMENT: Final = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "VIRTUAL_ENV")
_ROOT: Final = str(Path(__file__).resolve().parent.parent)
_ENVIRONMENT: Final = {
    "PYTHONPATH": _ROOT,
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # What a page took is kept for the next one, mallopt(3): fetching it from the kernel anew, tensor by tensor, costs
    # a twentieth of the time. But not what is larger: the kernel need not fill a canvas that will be refused.
    "MALLOC_MMAP_THRESHOLD_": str(256 * 1024**2),
    "MALLOC_TRIM_THRESHOLD_": str(4 * 1024**3),
}
_PAUSE: Final = 2.0
"""Seconds without a question, after which that memory goes back to the kernel."""
_LONGEST_ANSWER: Final = 256 * 1024**2
"""Bytes. A page of a PDF may be dense; a process that was taken over may not fill the parent's memory."""
_LONGEST_RENDERED: Final = LONGEST_SIDE + 1
"""Pixels: PDFium rounds up."""


class Crashed(Exception):
    """The process died while it read: killed for memory, or by a fault in a decoder."""


class ReadingProcess:
    """The parent's end. Starts its process when first needed and again after each death; one thread at a time."""

    def __init__(self, reading: "settings.Reading", limits: "settings.Documents") -> None:
        self._reading = reading
        self._limits = limits
        self.confinement: Confinement | None = None
        """What its process gave up, once there was one that read."""
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection
        self._holds: str | None = None
        self._is_ready = False
        self._closed = False

    def start(self) -> None:
        """Start the process without waiting for it."""
        if self._closed:
            raise TransientFailure("reader_closed", "this node is shutting down; another one reads the document")
        ours, theirs = socket.socketpair()
        # A plain new interpreter, not a fork of this one nor a replay of its main module: nothing that the parent
        # holds (threads, CUDA, locks, passwords in its environment) gets into the process that meets hostile input.
        environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        limits = self._reading.memory, math.ceil(self._reading.timeout), self._limits.max_pixels
        order = [str(number) for number in (theirs.fileno(), *limits)]
        self._holds, self._is_ready = None, False
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", "core.reading_process", *order],
                env=environment | _ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._connection = Connection(ours.detach())
        if self._closed:
            self._kill()

    def page_count(self, document: "Document") -> int:
        """See `read` for what is raised."""
        return int(self._ask(document, "page_count"))

    def read(self, document: "Document", number: int) -> Page:
        """Read one page.

        Raises RejectedInput as the decoders do, and `reading_timeout`, `reading_memory`; Crashed; ModelFailure;
        TransientFailure.
        """
        return Page.from_json(self._ask(document, "page", number))

    def render(self, document: "Document", number: int, turns: int = 0) -> Pixels:
        """The pixels of a page, turned by so many quarters counter-clockwise. Raises as `read` does."""
        pixels: Pixels = self._ask(document, "pixels", number, turns)
        return pixels

    def close(self) -> None:
        """Kill the process, also while another thread waits for it; that thread gets TransientFailure."""
        self._closed = True
        self._kill()
        if (process := self._process) is not None:
            process.wait()

    def _ask(self, document: "Document", wanted: str, number: int = 1, turns: int = 0) -> Any:
        if self._process is None or self._process.poll() is not None:
            self._stop()
            self.start()
        connection = self._connection
        late = threading.Event()
        timer = threading.Timer(self._reading.timeout, self._kill_late, (late,))
        timer.daemon = True
        timer.start()
        try:
            if not self._is_ready:
                self._greet(_confinement(connection.recv_bytes()))
            is_new = self._holds != document.sha256
            question = {"wanted": wanted, "number": number, "turns": turns}
            question |= {"media_type": document.media_type, "is_new": is_new}
            connection.send_bytes(json.dumps(question).encode())
            if is_new:
                self._holds = None
                connection.send_bytes(document.content)
            answer = _receive(connection, wanted)
        except (EOFError, OSError, ValueError, RecursionError) as error:
            exit_status = self._stop()
            if self._closed:
                raise TransientFailure("reader_closed", "this node is shutting down; try again") from error
            if late.is_set() or exit_status == -signal.SIGXCPU:
                raise RejectedInput(
                    "reading_timeout",
                    f"reading took longer than {self._reading.timeout:g} s a page (reading.timeout): send a simpler "
                    "or smaller document",
                ) from error
            if not self._is_ready and exit_status == -signal.SIGKILL:
                raise TransientFailure(
                    "reader_killed", "the reading process was killed while it started, as for a lack of memory"
                ) from error
            if not self._is_ready:
                raise ModelFailure(
                    "reader_broken", "the reading process does not start: its stderr in the worker's log says why"
                ) from error
            raise Crashed from error
        finally:
            timer.cancel()
        if "rejected" in answer:
            raise RejectedInput(*answer["rejected"])
        if "failed" in answer:
            self._stop()
            raise ModelFailure("reading_failed", answer["failed"])
        self._holds = document.sha256
        return answer[wanted]

    def _greet(self, confinement: Confinement) -> None:
        self._is_ready = True
        if confinement.lacks and confinement != self.confinement:
            import structlog  # not in the child, which would start later for it

            log = structlog.get_logger()
            log.warning("a reading process is confined less than it could be", lacks=confinement.lacks)
        self.confinement = confinement

    def _kill_late(self, late: threading.Event) -> None:
        late.set()
        self._kill()

    def _kill(self) -> None:
        if (process := self._process) is not None:
            process.kill()

    def _stop(self) -> int | None:
        """What the process ended with, if there was one."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        self._connection.close()
        return process.wait()


def _confinement(greeting: bytes) -> Confinement:
    """What a process says of itself that has not met a document yet."""
    match json.loads(greeting):
        case {"holds": [*holds], "lacks": [*lacks]}:
            return Confinement(tuple(map(str, holds)), tuple(map(str, lacks)))
    raise ValueError("no greeting")


def _receive(connection: Connection, wanted: str) -> dict[str, Any]:
    """What the child answers: what is wanted, `rejected` or `failed`.

    A child that was taken over may say anything else: EOFError, OSError, ValueError or RecursionError.
    """
    answer = json.loads(connection.recv_bytes(_LONGEST_ANSWER))
    match answer:
        case {"pixels": [int(height), int(width)]} if wanted == "pixels":
            if not (0 < height <= _LONGEST_RENDERED and 0 < width <= _LONGEST_RENDERED):
                raise ValueError("more pixels than a page has")
            pixels = np.frombuffer(connection.recv_bytes(height * width * 3), np.uint8)
            return {"pixels": pixels.reshape(height, width, 3)}
        case {"rejected": [str(), str()]} | {"failed": str()}:
            return dict(answer)
        case dict() if wanted in answer and wanted != "pixels":
            return dict(answer)
    raise ValueError("no answer")


@dataclass(slots=True)
class _Desk:
    """The child's state: the document that lies open and the recogniser, made when first needed."""

    max_pixels: int
    document: Any = None
    recognizer: Any = None

    def open(self, content: bytes, media_type: str) -> None:
        from core.pdf import Pdf
        from core.picture import Picture

        self.document = None
        is_pdf = media_type == "application/pdf"
        self.document = Pdf(content) if is_pdf else Picture(content, media_type, self.max_pixels)

    def read(self, number: int) -> Page:
        from core.pdf import Pdf

        if not isinstance(self.document, Pdf):
            return self._recognize(number, self.document.page(number))
        page = self.document.page(number)
        try:
            if page.has_good_text:
                return Page(number, page.width, page.height, "text_layer", page.lines)
            return self._recognize(number, page.render())
        finally:
            page.close()

    def render(self, number: int, turns: int) -> Pixels:
        from core.pdf import Pdf

        raster = page = self.document.page(number)
        if isinstance(self.document, Pdf):
            raster = page.render()
            page.close()
        return np.rot90(raster.pixels, turns)

    def _recognize(self, number: int, raster: Any) -> Page:
        if self.recognizer is None:
            from core.recognition import Recognizer

            self.recognizer = Recognizer()
        return self.recognizer.page(number, raster)  # type: ignore[no-any-return]


def serve(handle: int, memory: int, seconds: int, max_pixels: int) -> None:
    """The child's end: answer questions until the parent hangs up.

    `memory` in bytes; `seconds` may a question take of the CPU, twice over where decoders use several threads.
    """
    connection = Connection(handle)
    # Imported modules are compiled in memory: nothing may be written from here on.
    sys.dont_write_bytecode = True
    silence = os.open(os.devnull, os.O_WRONLY)
    confinement = confine(memory)
    threading.Thread(target=_die_with_parent, args=(handle,), daemon=True).start()
    # The C libraries complain about documents on stderr; what matters comes back as an answer.
    os.dup2(silence, 2)
    connection.send_bytes(json.dumps(asdict(confinement)).encode())
    desk = _Desk(max_pixels)
    # glibc's, as those settings are; other C libraries have neither.
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)
    while True:
        try:
            if not connection.poll(_PAUSE):
                give_back(0)
            question = json.loads(connection.recv_bytes())
            content = connection.recv_bytes() if question["is_new"] else None
        except (EOFError, OSError):
            return
        allow_seconds(2 * seconds)
        answer = _answer(desk, question, content)
        pixels = answer.get("pixels")
        if pixels is not None:
            answer["pixels"] = pixels.shape[:2]
        connection.send_bytes(json.dumps(answer).encode())
        if pixels is not None:
            connection.send_bytes(pixels.tobytes())


def _answer(desk: _Desk, question: dict[str, Any], content: bytes | None) -> dict[str, Any]:
    try:
        if content is not None:
            desk.open(content, question["media_type"])
        match question["wanted"]:
            case "page_count":
                return {"page_count": desk.document.page_count}
            case "pixels":
                return {"pixels": desk.render(question["number"], question["turns"])}
        return {"page": desk.read(question["number"]).to_json()}
    except RejectedInput as error:
        return {"rejected": [error.code, error.message]}
    except MemoryError:
        return {"rejected": ["reading_memory", "the page takes more than reading.memory allows: scan it smaller"]}
    except Exception as error:  # noqa: BLE001 - it becomes a ModelFailure at the parent's end
        where = traceback.extract_tb(error.__traceback__)[-1]
        return {"failed": f"{type(error).__name__} at {where.name}, {Path(where.filename).name}:{where.lineno}"}


def _die_with_parent(handle: int) -> None:
    """When the parent is gone, go too, whatever is being read."""
    watch = select.poll()
    watch.register(handle, 0)  # 0: hang-up alone
    watch.poll()
    os._exit(1)


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:]))
