import sys
import time
from pathlib import Path

import psutil
import pytest
from printed import file_of, picture

from core.documents import Document
from core.errors import RejectedInput
from core.page import Page
from core.reading_process import Crashed, ReadingProcess
from core.settings import Documents, Reading

SCAN = Document.of(file_of(picture()))
PAGE = Page(1, 640, 420, "ocr", ())

TAKEN_OVER = """
import sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
connection.send_bytes(b'{"holds": [], "lacks": []}')
connection.recv_bytes(), connection.recv_bytes()
for message in MESSAGES:
    connection.send_bytes(message)
connection.recv_bytes()
"""


@pytest.mark.parametrize(
    "messages",
    [
        [b'{"pixels": [2, 2]}', bytes(11)],
        [b'{"pixels": [2, 2]}', bytes(13)],
        [b'{"pixels": [2, 2]}', b""],
        [b'{"pixels": [2, 2, 3]}', bytes(12)],
        [b'{"pixels": [-2, -2]}', bytes(12)],
        [b'{"pixels": [0, 2]}', b""],
        [b'{"pixels": [1000000000, 1000000000]}', b""],
        [b'{"pixels": [1.0, 1]}', bytes(3)],
        [b'{"pixels": null}'],
        [b'{"page": {}}'],
        [b'{"rejected": [1, 2]}'],
        [b'{"rejected": []}'],
        [b'{"failed": {}}'],
        [b"[]"],
        [b"null"],
        [b"\xff"],
        [b"[" * 100_000],
    ],
    ids=lambda messages: repr(messages)[:40],
)
def test_a_process_that_was_taken_over_is_taken_for_dead_whatever_it_says(
    messages: list[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "child.py").write_text(TAKEN_OVER.replace("MESSAGES", repr(messages)))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/child.py "$4"\n')
    python.chmod(0o700)
    process = ReadingProcess(Reading(timeout=10), Documents())
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(python))
        with pytest.raises(Crashed):
            process.render(SCAN, PAGE.number)
    try:
        assert process.render(SCAN, PAGE.number).shape == (420, 640, 3)
    finally:
        process.close()


def test_a_process_that_took_too_much_of_the_cpu_took_too_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spent = TAKEN_OVER.replace("MESSAGES", "[]") + "import os, signal; os.kill(os.getpid(), signal.SIGXCPU)"
    (tmp_path / "child.py").write_text(spent.replace("\nconnection.recv_bytes()\n", "\n"))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/child.py "$4"\n')
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    process = ReadingProcess(Reading(timeout=30), Documents())
    try:
        with pytest.raises(RejectedInput) as caught:
            process.render(SCAN, PAGE.number)
    finally:
        process.close()
    assert caught.value.code == "reading_timeout"


def test_a_process_gives_the_memory_of_pages_back_in_a_pause() -> None:
    others = set(psutil.Process().children())
    process = ReadingProcess(Reading(), Documents())
    try:
        process.read(SCAN, 1)
        (child,) = set(psutil.Process().children()) - others
        kept, end = child.memory_info().rss, time.monotonic() + 20
        while child.memory_info().rss > 0.6 * kept and time.monotonic() < end:
            time.sleep(0.05)
        assert child.memory_info().rss <= 0.6 * kept
    finally:
        process.close()
