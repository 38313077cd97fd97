"""Backends that see pages by their pixels, on a node: tiny models of chance, so what they say is nonsense, but how
they are asked is not.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from made_of_chance import clip
from node import wait_until
from PIL import Image
from printed import file_of
from serving import Serve, Serving
from sqlalchemy import text
from tiny_internvl import save_internvl, save_mpnet

from core.contract import ANSWER, CLASSIFY, CORRECT, RETRAIN, AnswerResult, ClassifyResult, RetrainResult
from core.reading import GLANCE, READER
from core.settings import Model, Training
from db.session import transaction
from worker import checkpoints

LOOKS = {"invoice": (200, 30, 30), "letter": (30, 30, 200)}
"""What pages of a class are like; the tiny sentence encoder knows no other words."""


@pytest.fixture(scope="module", params=["internvl", "dual_encoder"])
def seeing(
    request: pytest.FixtureRequest, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    models = tmp_path_factory.mktemp("models")
    if request.param == "internvl":
        weights, texts = save_internvl(models / "internvl"), save_mpnet(models / "mpnet")
        model = Model(backend="internvl", weights=str(weights), text_weights=str(texts), tiles=2)
    else:
        model = Model(backend="dual_encoder", weights=str(clip(models / "clip")))
    training = Training(min_new_labels=4, epochs=20, learning_rate=0.02, test_share=0.3)
    with serve(model=model, training=training) as serving:
        serving.publish("desks", **{kind: f"this document is a {kind}" for kind in LOOKS})
        yield serving


def paper(serving: Serving, kind: str, number: int) -> str:
    """A page of a colour that stands for its kind; every number is another one."""
    noise = np.random.default_rng([number, len(kind)]).normal(0, 20, (60, 80, 3))
    pixels = np.clip(noise + LOOKS[kind], 0, 255).astype(np.uint8)
    path = serving.inbox / f"{kind}-{number}.png"
    path.write_bytes(file_of(Image.fromarray(pixels)))
    return path.as_uri()


def classify(serving: Serving, uri: str, **options: Any) -> ClassifyResult:
    result = serving.run(CLASSIFY, {"document": uri, "class_set": "desks", **options})
    assert isinstance(result, ClassifyResult)
    return result


def stored(serving: Serving, table: str, column: str) -> set[str]:
    with transaction(serving.database) as connection:
        return set(connection.execute(text(f"SELECT DISTINCT {column} FROM {table}")).scalars())  # noqa: S608


def test_a_page_is_looked_at_once_and_not_read(seeing: Serving) -> None:
    uri = paper(seeing, "invoice", 1000)
    first = classify(seeing, uri)
    assert [page.source for page in first.pages] == ["image"]
    assert first.probabilities.keys() == LOOKS.keys()
    assert sum(first.probabilities.values()) == pytest.approx(1)
    again = classify(seeing, uri)
    assert (first.cached, again.cached) == (False, True)
    assert again.probabilities == first.probabilities
    assert stored(seeing, "pages", "reader") == {GLANCE}


def test_a_blank_page_needs_no_model(seeing: Serving) -> None:
    path = seeing.inbox / "blank.png"
    path.write_bytes(file_of(Image.new("RGB", (300, 400), "white")))
    result = classify(seeing, path.as_uri())
    assert (result.reasons, [page.source for page in result.pages]) == (["blank_page"], ["blank"])


def test_other_classes_are_another_question_about_the_same_features(seeing: Serving) -> None:
    uri = paper(seeing, "letter", 1001)
    classify(seeing, uri)
    result = seeing.run(CLASSIFY, {"document": uri, "classes": ["invoice", "receipt", "tax form"]})
    assert isinstance(result, ClassifyResult)
    assert result.probabilities.keys() == {"invoice", "receipt", "tax form"}


def test_questions_are_answered_from_pages_that_are_read_for_them(seeing: Serving) -> None:
    uri = seeing.file("Invoice number: INV-7", "Total: $4.11")
    result = seeing.run(ANSWER, {"document": uri, "questions": ["What is the total?", "Who?"]})
    assert isinstance(result, AnswerResult)
    assert [answer.question for answer in result.answers] == ["What is the total?", "Who?"]
    assert READER in stored(seeing, "pages", "reader")


def test_labels_teach_what_the_model_does_not_know(seeing: Serving) -> None:
    for kind in LOOKS:
        for number in range(14):
            uri = paper(seeing, kind, number)
            seeing.run(CORRECT, {"document": uri, "label": kind, "class_set": "desks", "by": "ann"})
    result = seeing.run(RETRAIN, {"class_set": "desks"})
    assert isinstance(result, RetrainResult)
    assert result.labels == 28
    assert result.checkpoint is not None
    with transaction(seeing.database) as connection:
        checkpoints.promote(connection, "desks", [result.checkpoint], "ann", force=True)
    fresh = [(kind, paper(seeing, kind, number)) for kind in LOOKS for number in range(2000, 2006)]
    wait_until(lambda: classify(seeing, fresh[0][1]).checkpoint == str(result.checkpoint), "the checkpoint serves")
    told = [classify(seeing, uri).prediction == kind for kind, uri in fresh]
    assert sum(told) >= 10
