"""What there is to learn from: documents whose class a person said, parted once and for all."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from core.class_set import ClassSet
from core.features import Features
from core.settings import Training

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Example:
    """A document: its SHA-256, the class that it is of, its pages that are not blank (one at least), its captions.

    `prepared`: the pages as `Backend.prepare` gives them, where blocks of the encoder are to learn.
    """

    document_id: str
    label: str
    pages: tuple[Features, ...]
    captions: tuple[str, ...] = ()
    prepared: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples in three parts, each ordered by document: to learn from, to say when to stop, to judge by."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]

    @classmethod
    def part(cls, examples: Iterable[Example], settings: Training) -> Self:
        """At most `max_samples_per_class` of each class, parted by `part_of`."""
        parts: dict[Part, list[Example]] = {"train": [], "validation": [], "test": []}
        taken: Counter[str] = Counter()
        # By other digits than those that say the part: else a class over the limit would have documents of one part.
        for example in sorted(examples, key=lambda example: example.document_id[8:]):
            taken[example.label] += 1
            if taken[example.label] <= settings.max_samples_per_class:
                parts[part_of(example.document_id, settings)].append(example)
        ordered = {part: tuple(sorted(own, key=lambda example: example.document_id)) for part, own in parts.items()}
        return cls(ordered["train"], ordered["validation"], ordered["test"])

    @property
    def labels(self) -> dict[str, int]:
        """Class → documents, of all parts."""
        return dict(sorted(Counter(example.label for example in (*self.train, *self.validation, *self.test)).items()))


def part_of(document_id: str, settings: Training) -> Part:
    """The part that a document is in, by its content: whatever else is labelled, it stays there.

    So no document that judges a checkpoint was ever learned from, by it or by the one that it is compared with.
    """
    place = int(document_id[:8], 16) / 2**32
    if place < settings.test_share:
        return "test"
    return "validation" if place < settings.test_share + settings.validation_share else "train"


def fingerprint(
    labels: Iterable[tuple[str, str]],
    captions: Iterable[bytes],
    class_set: ClassSet,
    encoder: str,
    settings: Training,
) -> str:
    """What a run learns from, as two SHA-256: of the labels, (document, class), and of all else: what captions files
    hold, the classes, the encoder, the settings. Two runs of one fingerprint make the same checkpoint.
    """
    other = {
        "captions": sorted(hashlib.sha256(content).hexdigest() for content in captions),
        "classes": class_set.digest,
        "encoder": encoder,
        "settings": settings.model_dump(mode="json", include=LEARNING),
    }
    return f"{_digest(sorted(labels))} {_digest(other)}"


def differ_in_labels_alone(one: str, other: str) -> bool:
    """Whether two fingerprints have nothing but their labels apart."""
    return one != other and one.partition(" ")[2] == other.partition(" ")[2]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


LEARNING: Final = {
    "max_samples_per_class",
    "min_captions_per_image",
    "validation_share",
    "test_share",
    "held_out_classes",
    "pooling",
    "seed",
    "epochs",
    "patience",
    "batch",
    "learning_rate",
    "warmup",
    "weight_decay",
    "gradient_clip",
    "label_smoothing",
    "classification_weight",
    "contrastive_weight",
    "unfreeze_last_blocks",
}
"""The settings that what is learned depends on."""
