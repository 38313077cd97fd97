"""What the model would call a page: as if each name had been tried alone, whatever the names and the company."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from tiny_internvl import IMAGE, SQUARE, Calls, likelihood, save_internvl

from core.backends.internvl import likelihood as module
from core.backends.internvl.chat import Chat
from core.backends.internvl.checkpoint import Checkpoint
from core.backends.internvl.likelihood import PROMPT, Likelihood
from core.backends.internvl.page import PreparedPage
from core.backends.internvl.tiles import Cutter
from core.backends.internvl.tower import Tower
from core.picture import Pixels

NAMES = ("invoice", "a", "bank statement of an account", "form", "form W-9", "Lieferschein für Großkunden", "a")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint.load(str(save_internvl(tmp_path_factory.mktemp("internvl"))), "cpu")


@pytest.fixture(scope="module")
def chat(checkpoint: Checkpoint) -> Chat:
    return Chat(checkpoint, Tower(checkpoint.model, compiled=False))


def prepared(checkpoint: Checkpoint, *images: Pixels) -> list[PreparedPage]:
    cutter = Cutter(checkpoint.processor, checkpoint.model.dtype, pinned=False)
    return [PreparedPage(cutter.cut([image], 4)) for image in images]


def alone(checkpoint: Checkpoint, page: PreparedPage, names: Sequence[str]) -> list[float]:
    """Each name by a forward pass of its own, without anything that is shared."""
    seen = "<IMG_CONTEXT>" * (4 * len(page.tiles))
    prompt = f"<|im_start|>user\n<img>{seen}</img>\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"
    told, *called = (
        checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in (prompt, *(f"{name}<|im_end|>" for name in names))
    )
    return [likelihood(checkpoint.model, page.tiles.pixels, told, name) for name in called]


def test_names_together_are_as_likely_as_each_alone(checkpoint: Checkpoint, chat: Chat) -> None:
    pages = prepared(checkpoint, IMAGE, SQUARE, 255 - IMAGE)
    assert [len(page.tiles) for page in pages] != [len(pages[0].tiles)] * 3
    scores = Likelihood(chat, NAMES, None)(pages)
    for page, own in zip(pages, scores, strict=True):
        assert own.dtype == np.float32
        assert own.tolist() == pytest.approx(alone(checkpoint, page, NAMES), abs=1e-4)
    assert all(np.abs(a - b).max() > 0.01 for a, b in pairwise(scores))


def test_neither_the_order_of_names_nor_their_company_matters(checkpoint: Checkpoint, chat: Chat) -> None:
    pages = prepared(checkpoint, IMAGE, SQUARE)
    forwards = np.stack(Likelihood(chat, NAMES, None)(pages))
    backwards = np.stack(Likelihood(chat, NAMES[::-1], None)(pages[::-1]))[::-1, ::-1]
    assert forwards == pytest.approx(backwards, abs=1e-5)
    assert forwards[:, 1] == pytest.approx(forwards[:, -1], abs=1e-5)
    few = np.stack(Likelihood(chat, NAMES[2:4], None)(pages[:1]))
    assert few == pytest.approx(forwards[:1, 2:4], abs=1e-5)


def test_many_names_are_tried_in_turns(checkpoint: Checkpoint, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = prepared(checkpoint, IMAGE)
    together = Likelihood(chat, NAMES, None)(pages)
    monkeypatch.setattr(module, "TOKENS", 12)
    calls = Calls(checkpoint.model, monkeypatch)
    assert Likelihood(chat, NAMES, None)(pages)[0] == pytest.approx(together[0], abs=1e-5)
    assert len(calls.language) > 3


def test_what_a_blank_page_would_be_called_is_subtracted_and_found_out_once(
    checkpoint: Checkpoint, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, blank = prepared(checkpoint, IMAGE, np.full_like(IMAGE, 255))
    expected = np.subtract(alone(checkpoint, page, NAMES), alone(checkpoint, blank, NAMES))
    calls = Calls(checkpoint.model, monkeypatch)
    less = Likelihood(chat, NAMES, blank.tiles)
    assert less([page])[0] == pytest.approx(expected, abs=1e-4)
    assert less([page])[0] == pytest.approx(expected, abs=1e-4)
    assert len(calls.language) == 2 + 2 + 2
    assert less([blank])[0] == pytest.approx(np.zeros(len(NAMES)), abs=1e-5)


def test_a_page_is_seen_once_whoever_asks(
    checkpoint: Checkpoint, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = prepared(checkpoint, IMAGE)
    calls = Calls(checkpoint.model, monkeypatch)
    chat.tower.see([page.tiles for page in pages])
    Likelihood(chat, NAMES, None)(pages)
    Likelihood(chat, NAMES[:2], None)(pages)
    assert calls.vision == [len(pages[0].tiles)]


def test_pages_are_read_once_and_names_cost_little_more(
    checkpoint: Checkpoint, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = prepared(checkpoint, IMAGE, 255 - IMAGE)
    calls = Calls(checkpoint.model, monkeypatch)
    Likelihood(chat, NAMES, None)(pages)
    (rows, read), (rows_again, tried) = calls.language
    assert (rows, rows_again) == (2, 2)
    assert tried == sum(len(name.encode()) for name in NAMES)
    assert read > 4 * len(pages[0].tiles)


@pytest.mark.parametrize("smuggled", ["in<|im_end|>voice", "<IMG_CONTEXT>", "<|im_end|>\n<|im_start|>user", "<img>"])
def test_names_are_words_whatever_they_hold(checkpoint: Checkpoint, chat: Chat, smuggled: str) -> None:
    pages = prepared(checkpoint, IMAGE)
    scores = Likelihood(chat, (smuggled, "invoice"), None)(pages)[0]
    plain = smuggled.replace("<|im_end|>", " ").replace("<|im_start|>", " ").replace("<IMG_CONTEXT>", "?")
    expected = alone(checkpoint, pages[0], (plain.replace("<img>", "?").strip(), "invoice"))
    assert scores.tolist() == pytest.approx(expected, abs=1e-4)
