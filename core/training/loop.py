"""One phase of training: epochs over documents, saved after each, so that it goes on where it was ended."""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from core.alignment import LARGEST, Shape, VisionLanguageAlignment, decayed, under
from core.errors import ModelFailure
from core.settings import Training
from core.training.corpus import Corpus, Rows, balanced
from core.training.losses import classification, contrastive
from core.training.report import EpochRecord, Phase

MIXES: Final = (0.25, 0.5, 0.75, 1.0)
"""Weights of what was trained against where it started (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903)."""
PACE_OF_BLOCKS: Final = 0.01
"""Their learning rate as a share of the alignment's."""
FEWEST_STEPS, SMALLEST_BATCH = 4, 8
"""Steps that an epoch has at least, as long as a batch has that many documents on average."""
_SEEDS: Final[dict[Phase, int]] = {"rehearsal": 1, "training": 2}


@dataclass(frozen=True, slots=True)
class Watched:
    """How a model does on documents that it does not learn from; a figure of no documents is None.

    `kept`: the share of their accuracy that classes held out still have; None where there was none to keep.
    """

    loss: float
    seen_accuracy: float | None
    unseen_accuracy: float | None
    kept: float | None = None

    @property
    def score(self) -> tuple[float, float]:
        """Better is larger: the harmonic mean of seen accuracy and of what unseen classes kept, then the loss."""
        known = [value for value in (self.seen_accuracy, self.kept) if value is not None]
        mean = 0.0 if not known or min(known) == 0 else len(known) / sum(1 / value for value in known)
        return round(mean, 6), -self.loss


Watch = Callable[[VisionLanguageAlignment], Watched]


@dataclass(slots=True)
class Best:
    """The best epoch so far, and how much of its weights to take."""

    epoch: int
    mix: float
    watched: Watched
    weights: dict[str, Tensor]


@dataclass(slots=True)
class Course:
    """A phase under way: what is saved after each epoch, and what there is at its end."""

    phase: Phase
    model: VisionLanguageAlignment
    optimizer: torch.optim.AdamW
    start: dict[str, Tensor]
    epoch: int = 0
    best: Best | None = None
    history: list[EpochRecord] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        phase: Phase,
        shape: Shape,
        settings: Training,
        device: str,
        blocks: nn.Module | None = None,
        middle: Tensor | None = None,
    ) -> "Course":
        """A model as it is before anything is learned; its few random weights depend on the seed alone.

        `blocks` of the document encoder, on that device, learn with it. `middle` of the documents, (document width,),
        is where those of a space of their own are seen from.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            model = VisionLanguageAlignment(shape).to(device)
        if middle is not None:
            model.middle.copy_(middle)
        model.blocks = blocks
        parts = [(model.decayed(), 1.0)]
        if blocks is not None:
            parts.append((decayed(blocks.parameters()), PACE_OF_BLOCKS))
        optimizer = torch.optim.AdamW(
            [
                {"params": parameters, "weight_decay": decay, "pace": share}
                for part, share in parts
                for parameters, decay in zip(part, (settings.weight_decay, 0.0), strict=True)
            ],
            lr=settings.learning_rate,
        )
        return cls(phase, model, optimizer, copy.deepcopy(model.state_dict()))

    def tensors(self) -> dict[str, Tensor]:
        kept = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            kept |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        if self.best is not None:
            kept |= {f"best.{name}": tensor for name, tensor in self.best.weights.items()}
        return kept

    def about(self) -> dict[str, Any]:
        best = self.best and {
            "epoch": self.best.epoch,
            "mix": self.best.mix,
            "loss": self.best.watched.loss,
            "seen_accuracy": self.best.watched.seen_accuracy,
            "unseen_accuracy": self.best.watched.unseen_accuracy,
            "kept": self.best.watched.kept,
        }
        history = [record.model_dump(mode="json") for record in self.history]
        return {"phase": self.phase, "epoch": self.epoch, "best": best, "history": history}

    def restore(self, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Go on from what `tensors` and `about` gave."""
        self.model.load_state_dict(under("model.", tensors))
        whole = self.optimizer.state_dict()
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in under("optimizer.", tensors).items():
            index, _, part = name.partition(".")
            states.setdefault(int(index), {})[part] = tensor
        self.optimizer.load_state_dict({**whole, "state": states})
        self.epoch = about["epoch"]
        self.history = [EpochRecord.model_validate(record) for record in about["history"]]
        if about["best"] is not None:
            kept = dict(about["best"])
            epoch, mix = kept.pop("epoch"), kept.pop("mix")
            self.best = Best(epoch, mix, Watched(**kept), under("best.", tensors))

    def mixed(self, weights: Mapping[str, Tensor], mix: float) -> VisionLanguageAlignment:
        """A model between where training started and these weights; where that was chance, one that has as much less
        of a say.
        """
        model = copy.deepcopy(self.model)
        if model.shape.shared:
            weights = {name: torch.lerp(self.start[name], tensor, mix) for name, tensor in weights.items()}
        model.load_state_dict(weights)
        if not model.shape.shared:
            model.share.fill_(mix)
        return model.eval()


def run(
    course: Course,
    corpus: Corpus,
    rows: Rows,
    texts: Tensor,
    settings: Training,
    epochs: int,
    watch: Watch | None,
    before_step: Callable[[], None],
    after_epoch: Callable[[Course], None],
) -> None:
    """Train on those rows of the corpus for `epochs` epochs, less those that the course has behind it.

    `texts`: (classes, text width). With `watch`, the best epoch is remembered, and the phase ends early when there
    was none for `patience` epochs. `before_step` may wait, and `after_epoch` may raise to end it. The same numbers
    come out of the same numbers, bit by bit, on one machine's CPU, whether or not it was interrupted. Raises
    ModelFailure(`training_diverged`).
    """
    device = texts.device
    # A few documents are taken in more steps, or an epoch would hardly be one.
    steps = max(math.ceil(len(rows) / settings.batch), min(FEWEST_STEPS, math.ceil(len(rows) / SMALLEST_BATCH)))
    captions = torch.from_numpy(np.ascontiguousarray(corpus.caption_vectors)).to(device)
    while course.epoch < epochs and not _stale(course, settings.patience):
        start = time.perf_counter()
        generator = torch.Generator().manual_seed(
            settings.seed * 1_000_003 + _SEEDS[course.phase] * 10_007 + course.epoch
        )
        order = balanced(corpus.labels, rows, generator)
        losses: list[tuple[float, float, float]] = []
        course.model.train()
        for step, batch in enumerate(np.array_split(order, steps)):
            rate = settings.learning_rate * pace(course.epoch * steps + step, epochs * steps, settings.warmup)
            for group in course.optimizer.param_groups:
                group["lr"] = rate * group["pace"]
            before_step()
            losses.append(_step(course, corpus, batch, texts, captions, settings, generator))
        loss, between_captions, between_classes = (float(value) for value in np.mean(losses, axis=0))
        if not math.isfinite(loss):
            raise ModelFailure(
                "training_diverged", f"the loss of epoch {course.epoch + 1} is no number; lower `learning_rate`"
            )
        course.epoch += 1
        watched = _look(course, watch) if watch else None
        if watched is not None and not math.isfinite(watched.loss):
            raise ModelFailure(
                "training_diverged", f"after epoch {course.epoch} documents have no logits; lower `learning_rate`"
            )
        course.history.append(
            EpochRecord(
                phase=course.phase,
                epoch=course.epoch,
                loss=loss,
                contrastive=between_captions,
                classification=between_classes,
                validation_loss=watched and watched.loss,
                seen_accuracy=watched and watched.seen_accuracy,
                unseen_accuracy=watched and watched.unseen_accuracy,
                learning_rate=rate,
                scale=course.model.scale.item(),
                seconds=time.perf_counter() - start,
            )
        )
        after_epoch(course)


def pace(step: int, steps: int, warmup: float) -> float:
    """Share of the learning rate at a step, counted from 0: a linear rise, then half a cosine down to nothing."""
    rising = math.ceil(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _step(
    course: Course,
    corpus: Corpus,
    batch: Rows,
    texts: Tensor,
    captions: Tensor,
    settings: Training,
    generator: torch.Generator,
) -> tuple[float, float, float]:
    """One step; the losses: of all, between captions, between classes."""
    model, device = course.model, texts.device
    base, outside = (part.to(device) for part in corpus.logits(batch))
    labels = torch.from_numpy(corpus.labels[batch]).to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        documents = corpus.seen_by(model, batch, device)
        encoded = model.encode_documents(documents)
        logits = base + model.gain_of(encoded, documents, texts)
        between_classes = classification(logits, outside, labels, settings.label_smoothing)
        between_captions = torch.zeros((), device=device)
        if settings.contrastive_weight:
            drawn = [
                corpus.captions[row][int(torch.randint(len(corpus.captions[row]), (1,), generator=generator))]
                for row in batch
            ]
            chosen = torch.tensor(drawn, device=device)
            fits = encoded @ model.encode_texts(captions[chosen]).T
            between_captions = contrastive(model.scale * fits.float(), labels, chosen)
        loss = settings.classification_weight * between_classes + settings.contrastive_weight * between_captions
    course.optimizer.zero_grad()
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
    course.optimizer.step()
    with torch.no_grad():
        # Beyond its bounds it would have no gradient, and never come back.
        model.log_scale.clamp_(0, math.log(LARGEST))
    return loss.item(), between_captions.item(), between_classes.item()


def _look(course: Course, watch: Watch) -> Watched:
    """Watch the model at every mix, remember the best, and return how all of its weights did."""
    weights = {name: tensor.clone() for name, tensor in course.model.state_dict().items()}
    for mix in MIXES:
        watched = watch(course.mixed(weights, mix))
        if course.best is None or watched.score > course.best.watched.score:
            course.best = Best(course.epoch, mix, watched, weights)
    return watched


def _stale(course: Course, patience: int) -> bool:
    return course.best is not None and course.epoch - course.best.epoch >= patience
