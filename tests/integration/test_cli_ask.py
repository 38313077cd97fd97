"""`docintake ask`, as typed, with a real node behind a real broker."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from node import Node
from PIL import Image
from printed import pdf

from core.errors import RejectedInput
from core.settings import Settings

Cli = Callable[..., Any]

QUESTIONS = (
    *("-q", "Does this bill contain MI616887?"),
    *("-q", "What is the patient's blood type?"),
    *("-q", "How many pages are there?"),
)


def ask(*words: object) -> "subprocess.CompletedProcess[str]":
    """In a process of its own, at whose end its connections close; the settings are those of `cli`."""
    command = [sys.executable, "-m", "worker", "ask", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def bill(tmp_path: Path) -> Path:
    file = tmp_path / "bill.pdf"
    file.write_bytes(pdf(["INVOICE", "Invoice number: MI616887", "Invoice date: 24 November 2020", "Total: $604.80"]))
    return file


def test_answers_come_with_their_evidence(cli: Cli, settings: Settings, tmp_path: Path, bill: Path) -> None:
    drawing = tmp_path / "overlay.png"
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7 and nothing else")
    with Node(settings, tmp_path) as node:
        node.until_ready()
        shown = ask(bill, *QUESTIONS, "--overlay", drawing)
        as_json = ask(bill, *QUESTIONS, "--json")
        without_classes = ask(bill, "-q", "What kind of document is this?", *QUESTIONS)
        refused = ask(broken, *QUESTIONS)
        refused_as_json = ask(broken, *QUESTIONS, "--json")

    assert shown.returncode == 0, shown.stderr
    assert "page 1 │ Invoice number: MI616887" in shown.stdout
    assert "not found" in shown.stdout
    with Image.open(drawing) as image:
        assert image.format == "PNG"

    assert as_json.returncode == 0, as_json.stderr
    result = json.loads(as_json.stdout)["result"]
    assert [answer["status"] for answer in result["answers"]] == ["answered", "not_found", "answered"]
    assert result["cached"]
    assert json.loads(cli("jobs", "show", result["task_id"], "--json").stdout)["result"] == result

    # A question that fails does not take the others with it, but the command says so.
    assert without_classes.returncode == 1
    assert "no_default_set" in without_classes.stdout
    assert "page 1 │ Invoice number: MI616887" in without_classes.stdout

    assert refused.returncode == 1
    assert "unreadable" in refused.stdout
    assert refused_as_json.returncode == 1
    assert json.loads(refused_as_json.stdout)["error"]["code"] == "unreadable"


@pytest.mark.usefixtures("cli")
def test_without_a_node_it_says_so_in_time(bill: Path) -> None:
    result = ask(bill, "-q", "What is the total?", "--timeout", "0.2")
    assert result.returncode == 1
    assert "docintake doctor" in result.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["a" * 64, "-q", "What is the total?", "--overlay", "out.png"], "bad_arguments"),
        (["a" * 64, "-q", " "], "bad_arguments"),
        (["/no/such/file.pdf", "-q", "What is the total?"], "not_found"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(cli: Cli, words: list[str], code: str) -> None:
    error = cli("ask", *words).exception
    assert isinstance(error, RejectedInput)
    assert error.code == code


def test_a_drawing_needs_a_folder_to_stand_in(cli: Cli, bill: Path) -> None:
    error = cli("ask", bill, "-q", "What is the total?", "--overlay", "/no/such/folder/out.png").exception
    assert isinstance(error, RejectedInput)
    assert error.code == "not_writable"
