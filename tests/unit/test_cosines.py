import zlib
from collections.abc import Sequence
from math import log

import numpy as np
import pytest

from core.backends import Vectors
from core.class_set import ClassSet, DocumentClass
from core.classify import Classifier
from core.cosines import STRANGERS, Cosines
from core.features import STOPWORDS, Features, words_of
from core.genres import genres
from core.prompts import captioned, pictured
from core.settings import Thresholds

WORDS = 4096
CONE = 2.0
"""How much all texts have in common: cosines of texts that share no words are as high as with real text towers."""
SAYS_NOTHING = STOPWORDS | {"scan", "photo"}


def encode(texts: Sequence[str]) -> Vectors:
    """Bags of words around a middle that is the same for all texts, as unit rows."""
    rows = np.zeros((len(texts), WORDS + 1), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in set(words_of(text)) - SAYS_NOTHING:
            row[1 + zlib.crc32(word.encode()) % (WORDS - 1)] = 1
    rows /= np.maximum(1, np.linalg.norm(rows, axis=1, keepdims=True))
    rows[:, WORDS] = CONE
    unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def page_of(text: str, likeness: float = 0.35) -> Features:
    """A page that a text describes: its vector leans towards the text, and is far from every text, as images are."""
    (shown,) = encode([text])
    shown[WORDS] = 0
    away = np.zeros(WORDS + 1, dtype=np.float32)
    away[0] = 1  # a word that no text has
    vector = likeness * shown / np.linalg.norm(shown) + (1 - likeness**2) ** 0.5 * away
    return Features.of_vector(vector / np.linalg.norm(vector))


def cosines(names: Sequence[str], scale: float = 100.0, bias: float | None = None) -> Cosines:
    return Cosines.build(ClassSet.one_off(list(names)), encode, scale, bias)


def in_set(ready: Cosines, *pages: Features) -> float:
    return Classifier(ready).chances(pages)[1]


BOTH = pytest.mark.parametrize(("scale", "bias"), [(100.0, None), (112.0, -16.5)], ids=["softmax", "sigmoid"])
SET = ("invoice", "letter", "passport", "resume")


@BOTH
@pytest.mark.parametrize("truth", SET)
def test_a_page_is_of_the_class_that_describes_it(scale: float, bias: float | None, truth: str) -> None:
    ready = Classifier(cosines(SET, scale, bias))
    decision = ready.decide([(1, page_of(f"a scan of a {truth}"))], Thresholds())
    assert (decision.prediction, decision.reasons) == (truth, ())
    assert sum(decision.probabilities.values()) == pytest.approx(1)
    assert decision.in_set > 0.9


@BOTH
@pytest.mark.parametrize("other", ["purchase order", "map", "sheet music", "bank statement"])
def test_a_genre_that_no_class_resembles_is_none_of_these(scale: float, bias: float | None, other: str) -> None:
    genre = next(item for item in genres() if item.name == other)
    page = page_of(f"{other}: {genre.description}")
    assert in_set(cosines(SET, scale, bias), page) < 0.1
    assert in_set(cosines([*SET, other], scale, bias), page) > 0.9


def rivals_of(*classes: DocumentClass) -> set[str]:
    """The genres that no class has altogether."""
    ready = Cosines.build(ClassSet(name="s", classes=classes), encode, 100.0, None)
    rivals = ready.vectors[len(classes) :]
    described = ClassSet.one_off({genre.name: genre.description for genre in genres()})
    known = Cosines.build(described, encode, 1.0, None)
    return {known.names[place] for place in (rivals @ known.class_vectors.T).argmax(axis=1)}


def test_a_class_takes_in_what_it_names_in_any_language_or_in_other_words() -> None:
    passport = DocumentClass(name="passport")
    assert {"invoice", "payslip"} <= rivals_of(passport, DocumentClass(name="menu"))
    assert "invoice" not in rivals_of(passport, DocumentClass(name="Rechnung"))
    payslip = next(genre for genre in genres() if genre.name == "payslip")
    assert "payslip" not in rivals_of(passport, DocumentClass(name="zonk", description=payslip.description))


def test_texts_that_are_all_alike_to_the_encoder_do_not_make_a_class_of_everything() -> None:
    texts = encode(["a scan of a passport", "a scan of a payslip"])
    assert texts[0] @ texts[1] > 0.75
    assert len(rivals_of(DocumentClass(name="passport"), DocumentClass(name="menu"))) > 0.9 * len(genres())


def test_logits_are_scaled_cosines_and_a_bias_moves_all_alike() -> None:
    page = page_of("a letter")
    soft, sigmoid = cosines(SET, 50.0), cosines(SET, 50.0, -7.0)
    expected = 50 * soft.class_vectors @ page.vector
    np.testing.assert_allclose(soft.logits(soft.scores([page]))[0][0], expected, atol=1e-4)
    np.testing.assert_allclose(sigmoid.logits(sigmoid.scores([page]))[0][0], expected - 7, atol=1e-4)
    assert soft.names == tuple(sorted(SET))
    np.testing.assert_allclose(np.linalg.norm(soft.vectors, axis=1), 1, atol=1e-5)


def test_a_class_stands_for_the_mean_of_its_captions() -> None:
    item = DocumentClass(name="bank_letter", description="From a bank. About money.", templates=("The {} here.",))
    ready = Cosines.build(ClassSet(name="s", classes=(item, DocumentClass(name="map"))), encode, 1.0, None)
    mean = encode([*pictured(item), *captioned(item)]).mean(axis=0)
    np.testing.assert_allclose(ready.class_vectors[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_a_page_like_nothing_at_all_is_out_of_set_where_a_bias_says_how_much_likeness_counts() -> None:
    strange = Features.of_vector(np.eye(WORDS + 1, dtype=np.float32)[0])
    assert in_set(cosines(SET, 112.0, -16.5), strange) < 0.5
    assert in_set(cosines(SET, 112.0, -16.5), page_of("a scan of a letter", 0.2)) > 0.9


def test_before_a_page_says_anything_it_is_as_likely_in_the_set_as_not() -> None:
    blind = Features.of_vector(np.zeros(WORDS + 1, dtype=np.float32))
    for names in (SET, ("passport", "map"), [genre.name for genre in genres()][:60]):
        assert in_set(cosines(names), blind) == pytest.approx(0.5)
    # A text that says nothing of an image is as likely as a stranger's.
    assert in_set(cosines(SET, 1.0, -log(STRANGERS)), blind) == pytest.approx(0.5)


def test_where_every_genre_is_a_class_there_is_nothing_else() -> None:
    everything = cosines([genre.name for genre in genres()])
    page = page_of("invoice")
    assert everything.logits(everything.scores([page]))[1] == -np.inf
    assert in_set(everything, page) == 1
    assert 0 < in_set(cosines([genre.name for genre in genres()], 112.0, -16.5), page) < 1


def test_the_first_page_weighs_most() -> None:
    ready = Classifier(cosines(SET))
    letter, passport = page_of("a scan of a letter"), page_of("a scan of a passport")
    pages = [(1, letter), (2, passport)]
    assert ready.decide(pages, Thresholds()).prediction == "letter"
    assert ready.decide([(1, passport), (2, letter)], Thresholds()).prediction == "passport"


def test_the_genres_are_encoded_once() -> None:
    asked: list[str] = []

    def counted(texts: Sequence[str]) -> Vectors:
        asked.extend(texts)
        return encode(texts)

    Cosines.build(ClassSet.one_off(["menu", "map"]), counted, 1.0, None)
    first = len(asked)
    Cosines.build(ClassSet.one_off(["menu", "letter"]), counted, 1.0, None)
    assert first > 3 * len(genres())
    assert len(asked) - first == first // (len(genres()) + 2) * 2
