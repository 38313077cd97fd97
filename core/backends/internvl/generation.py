"""Answers by generation: InternVL looks at the pages and says what stands there."""

import hashlib
import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from core.answer import Inquiry, not_found
from core.backends.internvl.chat import Chat
from core.backends.internvl.lanes import Lanes
from core.backends.internvl.tiles import Cutter, Tiles
from core.contract.answer import Answer, IntegerValue, QuestionKind, Value, YesNoValue
from core.errors import ModelFailure, RejectedInput
from core.locate import locate
from core.prompts import NOT_FOUND, PROMPTS, prompt_of
from core.question import Question
from core.value import is_day_first, normalise, read_integer, read_yes_no

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache

GENERATION: Final = "2"
"""Version of this code: its answers are asked for anew when it changes."""
TILES_OF_PAGE: Final = 12
"""At most, beside the page as a whole. A page of small print needs all of them to be read."""
TILES: Final = 48
"""Of all pages together, each of which has one at least."""
LONGEST_ANSWER: Final = 64
"""Tokens."""
LONGEST_TIME: Final = 60.0
"""Seconds that answers generated together may take."""
LONGEST_QUESTION: Final = 1024
"""Tokens that are kept free for a prompt behind the pages."""
QUESTIONS: Final = 32
"""Of a document that are generated for at once."""
COLUMNS: Final = 65536
"""Of keys and values that are held at once beside those that stay with the documents: in half precision about 1 GB
with InternVL3-1B, 4 GB with 8B."""
UNSEEN: Final = 0.5
"""An answer that the reader did not read on any page is worth this much of what the model makes of it."""

_NO_ANSWER: Final = re.compile(rf"\W*(?:{NOT_FOUND}|not\s?found)?\W*", re.IGNORECASE)


@dataclass(slots=True)
class Prepared:
    """A document as the model takes it; `head` is the text before any question, which shows the pages.

    `prefix` holds the keys and values of both, once they were computed. It lives as long as this does.
    """

    inquiry: Inquiry
    tiles: Tiles
    head: str
    prefix: "DynamicCache | None" = None


@dataclass(frozen=True, slots=True)
class Generated:
    """What the model said, and the geometric mean of its tokens' probabilities; `cut`: it had not come to an end."""

    text: str
    probability: float
    cut: bool = False


class InternVLAnswerer:
    """Answers from the pixels of the pages; evidence is what the reader read of the same words.

    A document's pages are encoded once for all its questions: tiles through the vision tower, then with the text
    before them through the language model, whose keys and values all questions share. Generation is greedy, for
    several documents at once. A batch that runs out of memory is halved by whoever called, and the pages are not
    encoded again for that.
    """

    needs_pixels = True

    def __init__(self, chat: Chat, cutter: Cutter, prompts: Mapping[QuestionKind, str], digest: str) -> None:
        """`digest` is that of the checkpoint."""
        self._chat = chat
        self._cutter = cutter
        self._prompts = {**PROMPTS, **prompts}
        told = hashlib.sha256(json.dumps(self._prompts, sort_keys=True).encode()).hexdigest()
        self.fingerprint = f"internvl-{GENERATION}-{digest[:12]}-{told[:8]}"
        self._ends = sorted(_ids(chat.model.generation_config.eos_token_id) | {chat.end})

    def prepare(self, inquiry: Inquiry) -> Prepared:
        """Cut the pages that are not blank into tiles.

        Raises RejectedInput(`too_many_pages`) where the model cannot see them all; ModelFailure(`tiling_failed`).
        """
        shown = [item for item in zip(inquiry.pages, inquiry.images, strict=True) if not item[0].is_blank]
        tiles = self._cutter.cut([image for _, image in shown], max(1, min(TILES_OF_PAGE, TILES // len(shown))))
        room = self._chat.room - LONGEST_QUESTION - LONGEST_ANSWER
        if len(tiles) * self._chat.tokens_of_tile > room:
            raise RejectedInput(
                "too_many_pages", f"{len(shown)} pages are more than the model sees at once: ask about fewer"
            )
        head = self._chat.opening
        for (page, _), count in zip(shown, tiles.counts, strict=True):
            head += f"\nPage {page.number} of {inquiry.page_count}: {self._chat.shown(count)}"
        return Prepared(inquiry, tiles, head)

    def weight(self, prepared: Prepared) -> int:
        """A quarter of its tiles: all its questions share what is seen in them, and there are a few as a rule."""
        return -(-len(prepared.tiles) // 4)

    def run(self, batch: Sequence[tuple[Prepared, Question]]) -> list[Generated]:
        """What is said to each question about its document, in order, as if it had been asked alone."""
        import torch

        with torch.inference_mode():
            documents = {id(prepared): prepared for prepared, _ in batch}
            self._read(list(documents.values()))
            places: dict[int, list[int]] = {}
            for place, (prepared, _) in enumerate(batch):
                places.setdefault(id(prepared), []).append(place)
            rows = [
                own[start : start + QUESTIONS] for own in places.values() for start in range(0, len(own), QUESTIONS)
            ]
            said: dict[int, Generated] = {}
            for some in _together([(batch[row[0]][0], row) for row in rows]):
                prefixes = [prepared.prefix for prepared, _ in some if prepared.prefix is not None]
                asked = [[self._asked(batch[place][1]) for place in row] for _, row in some]
                for (_, row), generated in zip(some, self._generate(prefixes, asked), strict=True):
                    said |= zip(row, generated, strict=True)
            return [said[place] for place in range(len(batch))]

    def finish(self, prepared: Prepared, question: Question, output: Generated) -> Answer:
        """Raises ModelFailure: `unusable_answer` where the model's words are no answer to such a question, and
        `answer_cut_off` where there would have been more of them, whose beginning might say another thing.
        """
        if output.cut:
            raise ModelFailure(
                "answer_cut_off",
                f"the answer was not at its end after {LONGEST_ANSWER} tokens or {LONGEST_TIME:.0f} seconds, which "
                "is all it gets: ask for less at once",
            )
        text = " ".join(output.text.split())
        if _NO_ANSWER.fullmatch(text):
            return not_found(question, output.probability)
        location = locate(text, prepared.inquiry.pages)
        value: Value | None = None
        confidence = output.probability
        match question.kind:
            case "counting":
                if (integer := read_integer(text)) is None:
                    raise _unusable("number")
                text, value, location = str(integer), IntegerValue(integer=integer), None
            case "verification":
                if (yes := read_yes_no(text)) is None:
                    raise _unusable("yes or no")
                text, value, location = "Yes" if yes else "No", YesNoValue(yes=yes), None
            case "extraction":
                if location is None:
                    confidence *= UNSEEN
                else:
                    text = location.text
                whole = "\n".join(page.text for page in prepared.inquiry.pages)
                value = normalise(question.expects, text, is_day_first(whole))
        return Answer(
            question=question.text,
            kind=question.kind,
            status="answered",
            answer=text,
            value=value,
            confidence=confidence,
            evidence=list(location.evidence) if location else [],
        )

    def _read(self, documents: Sequence[Prepared]) -> None:
        new = [prepared for prepared in documents if prepared.prefix is None]
        for prepared, sight in zip(new, self._chat.tower.see([prepared.tiles for prepared in new]), strict=True):
            prepared.prefix, _ = self._chat.prefix(prepared.head, [sight])
            # All of it is in the prefix now.
            prepared.tiles.sight = None

    def _asked(self, question: Question) -> list[int]:
        harmless = replace(question, text=self._chat.harmless(question.text))
        return self._chat.ids(self._chat.asked(prompt_of(harmless, self._prompts)))

    def _generate(
        self, prefixes: Sequence["DynamicCache"], asked: Sequence[Sequence[list[int]]]
    ) -> list[list[Generated]]:
        """A list of questions a prefix → what is said to each."""
        import torch

        deadline = time.monotonic() + LONGEST_TIME
        most = max(map(len, asked))
        lanes = Lanes(self._chat, prefixes, most)
        hidden, last = lanes.say(asked)
        ends = torch.tensor(self._ends, device=hidden.device)
        hidden = hidden.gather(1, last[..., None].expand(-1, -1, hidden.shape[-1]))
        counts = torch.tensor([len(row) for row in asked], device=hidden.device)
        ended = torch.arange(most, device=hidden.device) >= counts[:, None]
        said: list[Tensor] = []
        surprise: list[Tensor] = []
        while True:
            logarithm, token = self._chat.logits(hidden).log_softmax(-1).max(-1)
            said.append(token)
            surprise.append(logarithm)
            ended |= torch.isin(token, ends)
            if len(said) == LONGEST_ANSWER or ended.all() or time.monotonic() > deadline:
                break
            hidden = lanes.step(token)
        tokens, logarithms = torch.stack(said, -1).tolist(), torch.stack(surprise, -1).tolist()
        return [
            [self._generated(*lane) for lane, _ in zip(zip(*row, strict=True), questions, strict=False)]
            for *row, questions in zip(tokens, logarithms, asked, strict=True)
        ]

    def _generated(self, tokens: list[int], logarithms: list[float]) -> Generated:
        end = next((place for place, token in enumerate(tokens) if token in self._ends), len(tokens))
        heard = logarithms[: end + 1]  # that the answer ends here is part of it
        return Generated(self._chat.text(tokens[:end]), math.exp(sum(heard) / len(heard)), cut=end == len(tokens))


def _together(rows: Sequence[tuple[Prepared, list[int]]]) -> Iterator[list[tuple[Prepared, list[int]]]]:
    """All of them, those of like length together, so that little is padding, and no more than fit into COLUMNS."""
    group: list[tuple[Prepared, list[int]]] = []
    for row in sorted(rows, key=lambda row: _length(row[0]), reverse=True):
        if group and (len(group) + 1) * _length(group[0][0]) > COLUMNS:
            yield group
            group = []
        group.append(row)
    yield group


def _length(prepared: Prepared) -> int:
    return prepared.prefix.get_seq_length() if prepared.prefix is not None else 0


def _ids(value: int | list[int] | None) -> set[int]:
    if value is None:
        return set()
    return {value} if isinstance(value, int) else set(value)


def _unusable(wanted: str) -> ModelFailure:
    return ModelFailure("unusable_answer", f"the model was asked for {wanted} and said something else: ask otherwise")
