"""How people put a question to a document."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from samples.words import vocabulary

_WRAPPED: Final = [
    "What is the {}?",
    "What is the {}?",
    "What is the {}?",
    "What's the {}?",
    "{}?",
    "{}",
    "Please give me the {}.",
    "Tell me the {}",
    "Can you tell me the {}?",
    "What {} is shown on ~?",
    "What is the {} on ~?",
    "What is the {} of ~?",
    "Find the {}.",
    "Which {} is printed on ~?",
    "What does ~ say for {}?",
    "I need the {}.",
    "{} please",
    "Extract the {}",
    "What is stated as the {}?",
    "Could you look up the {}?",
    "Do you know the {}?",
    "give the {}",
]
_NEIGHBOURS: Final = {
    "a": "s",
    "e": "r",
    "i": "o",
    "o": "p",
    "t": "r",
    "n": "m",
    "s": "d",
    "r": "t",
    "u": "y",
    "c": "v",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """What can be asked: a field's name or None, noun phrases for it, and whole questions."""

    field: str | None
    nouns: Sequence[str]
    forms: Sequence[str] = ()


def topic(field: str) -> Topic:
    """The topic of a field of samples/words/asked.yaml."""
    entry = entry_of(field)
    return Topic(field, entry["asked"], entry["forms"])


def entry_of(field: str) -> dict[str, Any]:
    return dict(vocabulary("asked")[field])


def phrased(rng: random.Random, about: Topic, document: str) -> str:
    """A question about the topic; `document` is what the document is called, such as "receipt"."""
    if about.forms and (not about.nouns or rng.random() < 0.45):
        text = rng.choice(about.forms)
    else:
        text = rng.choice(_WRAPPED).format(rng.choice(about.nouns))
    text = text.replace("~", f"{rng.choice(('the', 'this', 'the', 'this', 'that'))} {document}")
    chance = rng.random()
    if chance < 0.08:
        text = text.lower()
    elif chance < 0.13:
        text = text.upper()
    elif chance < 0.5:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.1:
        text = text.rstrip("?.")
    if rng.random() < 0.04:
        text = _mistyped(rng, text)
    return text


def _mistyped(rng: random.Random, text: str) -> str:
    place = rng.randrange(1, len(text)) if len(text) > 1 else 0
    letter = text[place]
    return text[:place] + rng.choice(("", letter * 2, _NEIGHBOURS.get(letter, letter))) + text[place + 1 :]
