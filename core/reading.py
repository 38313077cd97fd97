"""Reading documents: a pool of killable processes that turn bytes into pages of text, and into pixels."""

import os
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Final, TypeVar

from core import settings
from core.confinement import Confinement
from core.documents import Document, choose_pages
from core.errors import RejectedInput, TransientFailure
from core.page import Page
from core.picture import LEAST_CONTRAST, Pixels
from core.reading_process import Crashed, ReadingProcess

Result = TypeVar("Result")

_ENGINES: Final = ("rapidocr", "onnxruntime", "pypdfium2", "pillow", "pillow-heif")
READER: Final = "/".join((*(f"{name}-{version(name)}" for name in _ENGINES), "5"))
"""Names the engines (models come inside the first) and this code's version: pages of another READER are read anew."""


GLANCE: Final = "/".join((*(f"{name}-{version(name)}" for name in _ENGINES[2:]), "glance-1"))
"""The same for pages that were looked at and not read."""


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """The pages that were read, in page order, of a document of `page_count` pages."""

    page_count: int
    pages: tuple[Page, ...]


class Reader:
    """A pool of reading processes; one a node, used by any number of threads at once.

    A page that takes too long has its process killed; a process that dies is replaced, and its page tried once more.
    """

    def __init__(self, reading: settings.Reading, limits: settings.Documents) -> None:
        self._limits = limits
        count = reading.processes or len(os.sched_getaffinity(0))
        self._processes = [ReadingProcess(reading, limits) for _ in range(count)]
        self._idle: queue.SimpleQueue[ReadingProcess] = queue.SimpleQueue()
        for process in self._processes:
            process.start()
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(count, "reading")

    def read(self, document: Document, pages: str) -> ReadDocument:
        """Read the pages that `pages` chooses, side by side.

        Raises RejectedInput: `unreadable`, `encrypted`, `too_many_pixels`, `too_many_pages`, `no_such_page`,
        `reading_timeout`, `reading_memory`, `reading_crashed`; TransientFailure(`reader_closed`);
        ModelFailure(`reading_failed`).
        """
        page_count, numbers = self._choose(document, pages)
        return ReadDocument(page_count, self._side_by_side([partial(_read, document, number) for number in numbers]))

    def glance(self, document: Document, pages: str) -> tuple[ReadDocument, tuple[Pixels, ...]]:
        """Look at the pages that `pages` chooses, side by side, and read nothing: pages without lines, as they lie in
        the document, and their pixels as `render` gives them.

        Raises as `read` does.
        """
        page_count, numbers = self._choose(document, pages)
        pixels = self._side_by_side([partial(_look, document, number) for number in numbers])
        seen = tuple(_seen(number, image) for number, image in zip(numbers, pixels, strict=True))
        return ReadDocument(page_count, seen), pixels

    def render(self, document: Document, pages: Sequence[Page]) -> tuple[Pixels, ...]:
        """The pixels of pages that were read from the document, upright as their boxes are: of a page's own shape,
        but at most LONGEST_SIDE long.

        Raises as `read` does.
        """
        return self._side_by_side([partial(_render, document, page) for page in pages])

    @property
    def confinement(self) -> Confinement | None:
        """What a process of the pool gave up before it read; None: none has read yet."""
        return next((process.confinement for process in self._processes if process.confinement), None)

    def close(self) -> None:
        """Kill the processes. Whoever still waits for a page gets TransientFailure(`reader_closed`)."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.close()
        self._threads.shutdown()

    def _choose(self, document: Document, pages: str) -> tuple[int, list[int]]:
        """How many pages the document has, and the numbers of those that are chosen."""
        page_count = self._result(self._schedule(lambda process: process.page_count(document)))
        if page_count > self._limits.max_pages:
            raise RejectedInput(
                "too_many_pages",
                f"the document has {page_count} pages; {self._limits.max_pages} are allowed (max_pages): split it",
            )
        return page_count, choose_pages(pages, page_count, self._limits)

    def _side_by_side(self, questions: Sequence[Callable[[ReadingProcess], Result]]) -> tuple[Result, ...]:
        asked = [self._schedule(question) for question in questions]
        try:
            return tuple(self._result(future) for future in asked)
        finally:
            for future in asked:
                future.cancel()

    def _schedule(self, question: Callable[[ReadingProcess], Result]) -> Future[Result]:
        try:
            return self._threads.submit(self._ask, question)
        except RuntimeError as error:
            raise _closed() from error

    def _result(self, future: Future[Result]) -> Result:
        try:
            return future.result()
        except CancelledError as error:
            raise _closed() from error

    def _ask(self, question: Callable[[ReadingProcess], Result]) -> Result:
        process = self._idle.get()
        try:
            try:
                return question(process)
            except Crashed:
                # Once may be the machine's doing, such as a lack of memory; twice in a row is the document's.
                return question(process)
        except Crashed as error:
            raise RejectedInput(
                "reading_crashed", "the document makes its reader crash, twice in a row: send it in another format"
            ) from error
        finally:
            self._idle.put(process)


def _read(document: Document, number: int, process: ReadingProcess) -> Page:
    return process.read(document, number)


def _render(document: Document, page: Page, process: ReadingProcess) -> Pixels:
    return process.render(document, page.number, page.turns)


def _look(document: Document, number: int, process: ReadingProcess) -> Pixels:
    return process.render(document, number)


def _seen(number: int, pixels: Pixels) -> Page:
    height, width = pixels.shape[:2]
    is_blank = int(pixels.max()) - int(pixels.min()) < LEAST_CONTRAST
    return Page(number, width, height, "blank" if is_blank else "image", ())


def _closed() -> TransientFailure:
    return TransientFailure("reader_closed", "this node is shutting down; another one reads the document")
