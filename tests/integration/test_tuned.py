"""A checkpoint with blocks of its own, on a node with the real encoder: trained, promoted, serving."""

from collections.abc import Iterator
from typing import Any

import pytest
from node import wait_until
from serving import Serve, Serving
from sqlalchemy import text

from core.contract import CLASSIFY, CORRECT, RETRAIN, ClassifyResult, RetrainResult
from core.errors import RejectedInput
from core.settings import Model, Thresholds, Training
from db.session import transaction
from worker import checkpoints, class_sets, features
from worker.history import deciders

DESKS = {"freight": "parcel crate lorry pallet", "ward": "nurse doctor clinic patient"}
RUN = {"unfreeze_last_blocks": 1, "epochs": 2, "min_new_labels": 4}


@pytest.fixture(scope="module")
def real(serve: Serve) -> Iterator[Serving]:
    """A runtime with `ocr_text`, and labels of two desks."""
    with serve(model=Model(backend="ocr_text"), training=Training(test_share=0.4)) as serving:
        serving.publish("desks", **{desk: f"what the {desk} desk does" for desk in DESKS})
        for desk, words in DESKS.items():
            for index in range(8):
                uri = serving.file(*words.split(), f"case {index}")
                serving.run(CORRECT, {"document": uri, "label": desk, "class_set": "desks", "by": "ann"})
        yield serving


def retrain(serving: Serving, **overrides: Any) -> RetrainResult:
    result = serving.run(RETRAIN, {"class_set": "desks", "overrides": {**RUN, **overrides}})
    assert isinstance(result, RetrainResult)
    return result


def classify(serving: Serving, uri: str) -> ClassifyResult:
    result = serving.run(CLASSIFY, {"document": uri, "class_set": "desks"})
    assert isinstance(result, ClassifyResult)
    return result


def encoders(serving: Serving) -> dict[str, int]:
    """What pages were encoded by, and how many."""
    with transaction(serving.database) as connection:
        return dict(connection.execute(text("SELECT encoder, count(*) FROM features GROUP BY encoder")).all())


def test_more_blocks_than_there_are_are_refused_before_anything_is_done(real: Serving) -> None:
    with pytest.raises(RejectedInput, match="nothing_to_unfreeze"):
        retrain(real, unfreeze_last_blocks=7)


def test_what_blocks_learned_serves_and_is_made_of_a_page_once(real: Serving) -> None:
    result = retrain(real)
    assert result.labels == 16
    assert result.checkpoint is not None
    with transaction(real.database) as connection:
        checkpoints.promote(connection, "desks", [result.checkpoint], "ann", force=True)
    document, other = (real.file(*words.split()) for words in DESKS.values())
    wait_until(lambda: classify(real, document).checkpoint == str(result.checkpoint), "the checkpoint serves")
    (key,) = real.runtime.catalogue.published("desks").encoders
    tuned = features.name_of(real.runtime.encoder, key)
    first, again = classify(real, other), classify(real, other)
    assert (first.cached, again.cached) == (False, True)
    assert first.probabilities == again.probabilities
    assert encoders(real) == {real.runtime.encoder: 18, tuned: 2}

    # The gate measures what serves: the documents that judge are looked at through its blocks as well.
    second = retrain(real, seed=1)
    assert second.metrics["accuracy_before"] == result.metrics["accuracy_after"]
    judging = real.runtime.catalogue.published("desks")
    assert encoders(real)[tuned] > 2

    with transaction(real.database) as connection:
        version = class_sets.find(connection, "desks")
    settings, encoder, taught = real.runtime.settings.database, real.runtime.encoder, judging.classifier

    def replayed() -> class_sets.Replay:
        with deciders(settings, "desks") as those:
            return class_sets.replay(those, version, taught, Thresholds(), encoder)

    def compared() -> checkpoints.Comparison:
        untrained = taught.with_learned(())
        with deciders(settings, "desks") as those:
            return checkpoints.compare(those, taught, untrained, {}, Thresholds(), encoder)

    assert replayed().unchanged == 2
    found = compared()
    assert (found.documents, found.without_features) == (2, ())
    with transaction(real.database) as connection:
        connection.execute(text("DELETE FROM features WHERE encoder = :tuned"), {"tuned": tuned})
    assert len(compared().without_features) == len(replayed().without_features) == 2
