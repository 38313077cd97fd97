"""Sentences that state facts, with the questions that they answer."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from samples.composed.draft import Draft, Piece
from samples.composed.question import Topic
from samples.words import vocabulary

GENRES: Final = tuple(name for name in vocabulary("facts") if name not in {"filler", "letter"})

_SLOT: Final = re.compile(r"\{(\w+):(\w+)\}")
_REFERENCE: Final = re.compile(r"\{\w+\}")
_AGAIN: Final = 0.35
"""How often a fact that can be told apart by name is stated of several people or things."""


@dataclass
class Telling:
    """Facts of one genre told in one document, each at most once of the same person or thing."""

    draft: Draft
    genre: str
    told: list[int] = field(default_factory=list)

    def sentences(self, count: int) -> list[list[Piece]]:
        """About so many sentences, facts and filling, in any order."""
        rng, facts = self.draft.rng, vocabulary("facts")[self.genre]["facts"]
        fresh = [index for index in range(len(facts)) if index not in self.told]
        chosen = rng.sample(fresh, min(count, len(fresh)))
        self.told += chosen
        told = []
        for index in chosen:
            named = any(
                _REFERENCE.search(text) for slot, texts in facts[index].items() if slot != "say" for text in texts
            )
            times = rng.randint(2, 3) if named and rng.random() < _AGAIN else 1
            seen: set[str] = set()
            told += [self._told(index, number, times > 1, seen) for number in range(times)]
        filler = vocabulary("facts")["filler"]
        told += [[Piece(text)] for text in rng.sample(filler, rng.randint(0, count))]
        rng.shuffle(told)
        return told

    def paragraph(self, count: int) -> list[Piece]:
        """A paragraph of about so many sentences."""
        pieces: list[Piece] = []
        for sentence in self.sentences(count):
            pieces += [Piece(" "), *sentence] if pieces else sentence
        return pieces

    def ask_in_vain(self) -> None:
        """Let what was not told be asked: other facts, and the same ones of people and things unheard of."""
        draft, facts = self.draft, vocabulary("facts")[self.genre]["facts"]
        for index, fact in enumerate(facts):
            values = self._values(draft.rng.choice(fact["say"]), set())
            for slot, texts in fact.items():
                if slot != "say":
                    fitting = [text for text in texts if index not in self.told or _REFERENCE.search(text)]
                    if fitting and all(name in values for text in fitting for name in re.findall(r"\{(\w+)\}", text)):
                        draft.missing.append(_topic(fitting, values))

    def _values(self, sentence: str, seen: set[str]) -> dict[str, str]:
        values = {}
        for slot, kind in _SLOT.findall(sentence):
            value = self.draft.hand.of_kind(kind)
            while value in seen:
                value = self.draft.hand.of_kind(kind)
            seen.add(value)
            values[slot] = value
        return values

    def _told(self, index: int, number: int, only_by_name: bool, seen: set[str]) -> list[Piece]:
        """One sentence; `only_by_name`: it is asked about by what tells it from its like alone."""
        fact: dict[str, Any] = vocabulary("facts")[self.genre]["facts"][index]
        sentence = self.draft.rng.choice(fact["say"])
        values = self._values(sentence, seen)
        pieces: list[Piece] = []
        at = 0
        for match in _SLOT.finditer(sentence):
            slot = match[1]
            texts = [text for text in fact.get(slot, ()) if not only_by_name or _REFERENCE.search(text)]
            value = values[slot] if match.start() else values[slot][0].upper() + values[slot][1:]
            name = f"{self.genre} {index} {number} {slot}"
            pieces.append(Piece(sentence[at : match.start()]))
            pieces.append(self.draft.mark(name, value, _topic(texts, values)) if texts else Piece(value))
            at = match.end()
        pieces.append(Piece(sentence[at:]))
        return [piece for piece in pieces if piece.text]


def _topic(texts: list[str], values: dict[str, str]) -> Topic:
    return Topic(None, (), [text.format(**values) for text in texts])
