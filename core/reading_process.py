"""One process that reads pages and may be killed: both ends of it.

Whatever decodes, renders or recognises hostile bytes runs here and nowhere else. The two ends talk over a socket in
JSON, never in pickles: a document that takes the process over must not get at the parent through its answers.
"""

import json
import os
import select
import socket
import subprocess
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from core import settings
from core.documents import Document
from core.errors import ModelFailure, RejectedInput, TransientFailure
from core.page import Page

_KEPT_ENVIRONMENT: Final = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "VIRTUAL_ENV")
_ROOT: Final = str(Path(__file__).resolve().parent.parent)


class Crashed(Exception):
    """The process died while it read: killed for memory, or by a fault in a decoder."""


class ReadingProcess:
    """The parent's end. Starts its process when first needed and again after each death; one thread at a time."""

    def __init__(self, reading: settings.Reading, limits: settings.Documents) -> None:
        self._reading = reading
        self._limits = limits
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
        order = [str(number) for number in (theirs.fileno(), self._reading.memory, self._limits.max_pixels)]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", "core.reading_process", *order],
                env=environment | {"PYTHONPATH": _ROOT, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._connection = Connection(ours.detach())
        self._holds, self._is_ready = None, False
        if self._closed:
            self._kill()

    def page_count(self, document: Document) -> int:
        """See `read` for what is raised."""
        return int(self._ask(document, None)["page_count"])

    def read(self, document: Document, number: int) -> Page:
        """Read one page.

        Raises RejectedInput as the decoders do, and `reading_timeout`, `reading_memory`; Crashed; ModelFailure.
        """
        return Page.from_json(self._ask(document, number)["page"])

    def close(self) -> None:
        """Kill the process, also while another thread waits for it; that thread gets TransientFailure."""
        self._closed = True
        self._kill()
        if (process := self._process) is not None:
            process.wait()

    def _ask(self, document: Document, number: int | None) -> Any:
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
                connection.recv_bytes()
                self._is_ready = True
            is_new = self._holds != document.sha256
            question = {"number": number, "media_type": document.media_type, "is_new": is_new}
            connection.send_bytes(json.dumps(question).encode())
            if is_new:
                self._holds = None
                connection.send_bytes(document.content)
            answer = json.loads(connection.recv_bytes())
        except (EOFError, OSError, ValueError) as error:
            self._stop()
            if self._closed:
                raise TransientFailure("reader_closed", "this node is shutting down; try again") from error
            if late.is_set():
                raise RejectedInput(
                    "reading_timeout",
                    f"reading took longer than {self._reading.timeout:g} s a page (reading.timeout): send a simpler "
                    "or smaller document",
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
        return answer

    def _kill_late(self, late: threading.Event) -> None:
        late.set()
        self._kill()

    def _kill(self) -> None:
        if (process := self._process) is not None:
            process.kill()

    def _stop(self) -> None:
        self._kill()
        if self._process is not None:
            self._process.wait()
            self._connection.close()
        self._process = None


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

    def _recognize(self, number: int, raster: Any) -> Page:
        if self.recognizer is None:
            from core.recognition import Recognizer

            self.recognizer = Recognizer()
        return self.recognizer.page(number, raster)  # type: ignore[no-any-return]


def serve(handle: int, memory: int, max_pixels: int) -> None:
    """The child's end: answer questions until the parent hangs up."""
    import resource

    connection = Connection(handle)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_die_with_parent, args=(handle,), daemon=True).start()
    # The C libraries complain about documents on stderr; what matters comes back as an answer.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    connection.send_bytes(b"ready")
    desk = _Desk(max_pixels)
    while True:
        try:
            question = json.loads(connection.recv_bytes())
            content = connection.recv_bytes() if question["is_new"] else None
        except (EOFError, OSError):
            return
        connection.send_bytes(json.dumps(_answer(desk, question, content)).encode())


def _answer(desk: _Desk, question: dict[str, Any], content: bytes | None) -> dict[str, Any]:
    try:
        if content is not None:
            desk.open(content, question["media_type"])
        if question["number"] is None:
            return {"page_count": desk.document.page_count}
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
