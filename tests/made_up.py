"""Documents of made-up classes: words that nobody has ever described, so that only labels can teach them."""

import hashlib
import random
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from core.backends import Vectors, make_backend
from core.backends.fake import DIMENSIONS
from core.class_set import ClassSet
from core.classify import Classifier
from core.descriptions import Descriptions
from core.features import Features, features_of
from core.page import Line, Page
from core.settings import Model
from core.training.corpus import Corpus
from core.training.dataset import Example

# Models this small are slower on several threads, above all beside other processes.
torch.set_num_threads(1)
BACKEND = make_backend(Model(backend="fake"))


def words_of_class(label: str, count: int = 10) -> list[str]:
    """What is printed on documents of that class, and seldom on others."""
    draw = random.Random(f"the words of {label}")
    return ["".join(draw.choice("bdfgklmnprstvz") + draw.choice("aeiou") for _ in range(4)) for _ in range(count)]


SHARED = words_of_class("every class", 30)


def features(texts: Sequence[str]) -> Features:
    """A page of these lines, the first one the biggest."""
    lines = tuple(
        Line(text, (50, 50 + 60 * row, 50 + 12 * len(text), (90 if row == 0 else 74) + 60 * row))
        for row, text in enumerate(texts)
    )
    page = Page(1, 1000, 1400, "ocr", lines)
    return features_of(page, BACKEND.encode_documents([BACKEND.prepare(page)])[0])


def page_of(label: str, number: int) -> Features:
    """A page of that class; every number is another one."""
    draw = random.Random(f"{label} {number}")
    own = words_of_class(label)
    return features([" ".join([*draw.sample(own, 3), *draw.sample(SHARED, 2)]) for _ in range(5)])


def document_id(label: str, number: int) -> str:
    return hashlib.sha256(f"{label} {number}".encode()).hexdigest()


def example_of(label: str, number: int, pages: int = 1) -> Example:
    own = tuple(page_of(label, 1000 * page + number) for page in range(pages))
    return Example(document_id(label, number), label, own, prepared=tuple(page.vector for page in own))


def documents_of(label: str, count: int, pages: int = 1) -> list[Example]:
    """Different documents of that class."""
    return [example_of(label, number, pages) for number in range(count)]


class Turning(nn.Module):
    """Stands for blocks of an encoder: turns vectors, at first by nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Linear(DIMENSIONS, DIMENSIONS)
        nn.init.eye_(self.turn.weight)
        nn.init.zeros_(self.turn.bias)

    def forward(self, batch: Sequence[Vectors]) -> Tensor:
        turned: Tensor = self.turn(torch.from_numpy(np.stack(batch)))
        return turned


def described(names: Sequence[str], told_as: dict[str, str] | None = None) -> ClassSet:
    """A class set that describes each class by some of its words, or by those of the class that it is `told_as`."""
    told = {name: (told_as or {}).get(name, name) for name in names}
    return ClassSet.one_off({name: " ".join(words_of_class(told[name], 6)) for name in names})


@cache
def classifier_of(class_set: ClassSet) -> Classifier:
    return Classifier(Descriptions.build(class_set, BACKEND.encode_texts))


def corpus_of(examples: Sequence[Example], class_set: ClassSet, least_captions: int = 4) -> Corpus:
    return Corpus.build(examples, class_set, classifier_of(class_set), BACKEND.encode_texts, least_captions)
