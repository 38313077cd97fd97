"""Checkpoints for the tests, of random weights: what they say is sure, strange, and another thing for every seed."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sqlalchemy import Connection

from core.alignment import LARGEST, Learned, Shape, VisionLanguageAlignment
from core.backends.fake import DIMENSIONS, Fake
from core.familiarity import Familiarity
from core.features import Features, features_of
from core.page import Line, Page
from core.sketch import sketch_of
from core.training.report import TrainingReport, flips_of, measure
from db.queries import Checkpoint
from worker import checkpoints
from worker.runtime import encoder_of

# Models this small are slower on several threads, above all beside other processes.
torch.set_num_threads(1)
ENCODER = encoder_of(Fake())
CLASSES = ("bill", "letter")


@cache
def learned(seed: int = 0) -> Learned:
    """Of the `fake` backend's dimensions."""
    torch.manual_seed(seed)
    model = VisionLanguageAlignment(Shape(DIMENSIONS, DIMENSIONS))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("projection", "words", "adapter")):
                parameter.copy_(torch.randn_like(parameter))
        model.log_scale.fill_(math.log(LARGEST))
    texts = ("total to pay 12.50", "amount due 30.00 total", "dear aunt sincerely", "dear bob sincerely yours")
    sketches = [sketch_of([features(text)]) for text in texts]
    return Learned(model.eval(), frozenset(CLASSES), Familiarity.fit(sketches, [0, 0, 1, 1]), 1.25 + seed)


def features(text: str) -> Features:
    """Of a page with that text, as the `fake` backend sees it."""
    backend = Fake()
    lines = [Line(line, (50, 40 * row, 500, 40 * row + 20)) for row, line in enumerate(text.splitlines(), start=1)]
    page = Page(1, 850, 1100, "text_layer", tuple(lines))
    return features_of(page, backend.encode_documents([backend.prepare(page)])[0])


def report(class_set: str = "papers", **changed: Any) -> TrainingReport:
    """On four documents, of which three are right after training, and two were before."""
    documents, truths = [f"{index:064x}" for index in range(4)], ["bill", "bill", "letter", "letter"]
    before = np.array([[0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.9, 0.1]])
    after = np.array([[0.8, 0.2], [0.7, 0.3], [0.1, 0.9], [0.9, 0.1]])
    fields: dict[str, Any] = {
        "class_set": class_set,
        "class_version": 1,
        "encoder": ENCODER,
        "parents": (),
        "labels": {"bill": 9, "letter": 8},
        "documents": {"train": 9, "validation": 4, "test": 4},
        "skipped": {},
        "held_out": (),
        "history": (),
        "chosen_epoch": 3,
        "before": measure(truths, CLASSES, before),
        "after": measure(truths, CLASSES, after),
        "unseen_before": None,
        "unseen_after": None,
        "temperature": 1.25,
        "interpolation": 0.5,
        "accepted": True,
        "reasons": ("macro accuracy is better",),
        "settings": {"epochs": 3},
        "flips": flips_of(documents, truths, CLASSES, before, after),
        "seconds": 4.0,
    }
    return TrainingReport(**(fields | changed))


def keep(
    connection: Connection, store: Path, class_set: str = "papers", *, seed: int = 0, **changed: Any
) -> Checkpoint:
    """A checkpoint of the set; `changed` is what its report says otherwise."""
    return checkpoints.keep(
        connection,
        store,
        learned(seed),
        report(class_set, **changed),
        run_id=None,
        class_version_id=None,
        fingerprint="f" * 64,
    )
