import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up import Turning, classifier_of, corpus_of, described, documents_of

from core import checkpoints
from core.alignment import LARGEST, Pooling, Shape, VisionLanguageAlignment
from core.errors import ModelFailure
from core.settings import Training
from core.training.corpus import Corpus, Rows
from core.training.loop import MIXES, Course, Watch, Watched, pace, run
from core.training.report import EpochRecord, Phase

CLASSES = described(["bill", "card", "note"], {"bill": "card", "card": "bill"})
CORPUS = corpus_of([*documents_of("bill", 9), *documents_of("card", 3)], CLASSES)
TEXTS = torch.from_numpy(classifier_of(CLASSES).class_vectors.copy())
SETTINGS = Training(batch=4, learning_rate=0.01)
WIDTH = TEXTS.shape[1]


class Interrupted(Exception):
    """Stands for whatever ends a run."""


def course_of(
    settings: Training = SETTINGS, phase: Phase = "training", pooling: Pooling = "mean", blocks: bool = False
) -> Course:
    return Course.begin(phase, Shape(WIDTH, WIDTH, pooling=pooling), settings, "cpu", Turning() if blocks else None)


def go_on(
    course: Course,
    settings: Training = SETTINGS,
    epochs: int = 3,
    watch: Watch | None = None,
    corpus: Corpus = CORPUS,
    after_epoch: Callable[[Course], None] = lambda course: None,
) -> Course:
    run(course, corpus, np.arange(len(corpus)), TEXTS, settings, epochs, watch, lambda: None, after_epoch)
    return course


def history_of(course: Course) -> list[dict[str, Any]]:
    return [record.model_dump(exclude={"seconds"}) for record in course.history]


def assert_same(one: Course, other: Course) -> None:
    """To the last bit."""
    assert one.tensors().keys() == other.tensors().keys()
    for name, tensor in one.tensors().items():
        assert torch.equal(tensor, other.tensors()[name]), name
    assert history_of(one) == history_of(other)
    assert (one.epoch, one.about()["best"]) == (other.epoch, other.about()["best"])


def rising(model: VisionLanguageAlignment) -> Watched:
    """Some figures of a model, better the further it has gone."""
    return Watched(-float(model.projection.weight.detach().abs().sum()), 0.5, None)


def test_the_same_numbers_come_out_of_the_same_numbers() -> None:
    torch.manual_seed(1)
    first = go_on(course_of(), watch=rising)
    torch.manual_seed(2)
    assert_same(first, go_on(course_of(), watch=rising))


@pytest.mark.parametrize(
    ("options", "watch"),
    [({}, None), ({}, rising), ({"pooling": "cross_attention"}, rising), ({"blocks": True}, rising)],
    ids=["unwatched", "watched", "with attention", "with blocks"],
)
def test_a_run_that_was_interrupted_ends_as_if_it_never_had_been(
    options: dict[str, Any], watch: Watch | None, tmp_path: Path
) -> None:
    def interrupt(course: Course) -> None:
        checkpoints.write(tmp_path / "state", course.tensors(), course.about())
        if course.epoch == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        go_on(course_of(**options), watch=watch, epochs=4, after_epoch=interrupt)
    resumed = course_of(**options)
    resumed.restore(*checkpoints.read(tmp_path / "state"))
    assert (resumed.epoch, len(resumed.history)) == (2, 2)
    go_on(resumed, watch=watch, epochs=4)
    assert_same(resumed, go_on(course_of(**options), watch=watch, epochs=4))


def test_a_run_that_is_done_trains_no_further() -> None:
    course = go_on(course_of(), epochs=1)
    before = {name: tensor.clone() for name, tensor in course.tensors().items()}
    go_on(course, epochs=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in course.tensors().items())
    assert len(course.history) == 1


def test_another_seed_and_the_other_phase_draw_otherwise() -> None:
    def losses(seed: int, phase: Phase) -> list[float]:
        settings = SETTINGS.model_copy(update={"seed": seed})
        return [record.loss for record in go_on(course_of(settings, phase), settings, epochs=1).history]

    found = [losses(0, "training"), losses(1, "training"), losses(0, "rehearsal")]
    assert found[0] == losses(0, "training")
    assert len({str(one) for one in found}) == 3


def test_training_makes_the_loss_smaller_and_tells_how_it_went() -> None:
    course = go_on(course_of(), epochs=4)
    assert course.history[-1].loss < course.history[0].loss / 2
    for number, record in enumerate(course.history, start=1):
        assert (record.phase, record.epoch, record.validation_loss) == ("training", number, None)
        assert record.loss == pytest.approx(record.classification + SETTINGS.contrastive_weight * record.contrastive)
        assert 1 <= record.scale <= 100


def test_without_a_weight_the_contrastive_loss_is_left_out() -> None:
    settings = Training(batch=4, contrastive_weight=0)
    record = go_on(course_of(settings), settings, epochs=1).history[0]
    assert record.contrastive == 0
    assert record.loss == record.classification > 0


def test_a_watched_run_ends_when_nothing_got_better_for_so_long() -> None:
    looks = [0]

    def watch(_: VisionLanguageAlignment) -> Watched:
        looks[0] += 1
        return Watched(abs(looks[0] - 2 * len(MIXES)), None, None)

    settings = SETTINGS.model_copy(update={"patience": 3})
    course = go_on(course_of(settings), settings, epochs=20, watch=watch)
    assert course.best is not None
    assert (course.best.epoch, course.best.mix, course.epoch, len(course.history)) == (2, 1.0, 5, 5)
    go_on(course, settings, epochs=20, watch=watch)
    assert course.epoch == 5


def test_of_equals_the_first_is_kept_and_the_least_of_it() -> None:
    course = go_on(course_of(), watch=lambda model: Watched(1.0, 0.5, None))
    assert course.best is not None
    assert (course.best.epoch, course.best.mix) == (1, MIXES[0])


def test_the_best_weights_are_those_of_the_best_epoch_and_mix() -> None:
    figures = iter([1, 2, 3, 4, 5, 9, 6, 5, 1, 1, 1, 1])
    kept: list[dict[str, torch.Tensor]] = []

    def watch(model: VisionLanguageAlignment) -> Watched:
        kept.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return Watched(-next(figures), None, None)

    course = go_on(course_of(), watch=watch)
    assert course.best is not None
    assert (course.best.epoch, course.best.mix, course.best.watched.loss) == (2, MIXES[1], -9)
    mixed = course.mixed(course.best.weights, course.best.mix).state_dict()
    assert all(torch.equal(tensor, kept[5][name]) for name, tensor in mixed.items())
    assert not torch.equal(course.best.weights["words"], course.model.state_dict()["words"])


def test_a_mix_lies_between_the_start_and_the_weights() -> None:
    course = go_on(course_of(), epochs=1)
    weights = course.model.state_dict()
    for mix in (0.0, 0.25, 1.0):
        for name, tensor in course.mixed(weights, mix).state_dict().items():
            expected = (1 - mix) * course.start[name] + mix * weights[name]
            torch.testing.assert_close(tensor, expected)
    assert not course.mixed(weights, 0.5).training


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Watched(2.0, 0.6, 0.5, 0.6), Watched(1.0, 0.9, 0.3, 0.4)),
        (Watched(1.0, 0.6, 0.5, 0.6), Watched(2.0, 0.6, 0.5, 0.6)),
        (Watched(2.0, 0.7, None), Watched(1.0, 0.6, None)),
        (Watched(1.0, None, None), Watched(2.0, None, None)),
        (Watched(2.0, 0.1, 0.1, 0.1), Watched(1.0, 1.0, 0.0, 0.0)),
        # Where nothing of unseen classes was told before, nothing can be kept of it.
        (Watched(2.0, 0.7, 0.0, None), Watched(1.0, 0.6, 0.0, None)),
    ],
)
def test_what_learns_seen_classes_and_keeps_unseen_ones_scores_best(better: Watched, worse: Watched) -> None:
    assert better.score > worse.score


def test_the_rate_rises_and_then_falls_to_nothing() -> None:
    rates = [pace(step, 200, 0.1) for step in range(200)]
    assert rates[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert rates[20] == 1
    assert rates[110] == pytest.approx(0.5)
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert 0 < rates[-1] < 1e-3


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 0.1), (1, 0.99), (2, 0.5), (7, 0)])
def test_the_shortest_runs_have_a_rate_too(steps: int, warmup: float) -> None:
    rates = [pace(step, steps, warmup) for step in range(steps)]
    assert max(rates) == 1
    assert min(rates) > 0


def test_the_rate_of_a_run_follows_its_steps() -> None:
    course = go_on(course_of(), epochs=4)
    last_steps = [pace(3 * epoch + 2, 12, SETTINGS.warmup) for epoch in range(4)]
    assert [record.learning_rate for record in course.history] == pytest.approx(
        [SETTINGS.learning_rate * share for share in last_steps]
    )


@pytest.mark.parametrize("spoilt", ["tokens", "rate"])
def test_a_loss_that_is_no_number_ends_the_run(spoilt: str) -> None:
    corpus, settings = CORPUS, SETTINGS
    if spoilt == "tokens":
        broken = replace(CORPUS.sketches[0], tokens=np.full((1, WIDTH), np.nan, np.float32))
        corpus = replace(CORPUS, sketches=[broken, *CORPUS.sketches[1:]])
    else:
        settings = SETTINGS.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(ModelFailure, match="learning_rate") as caught:
        go_on(course_of(settings), settings, epochs=9, corpus=corpus)
    assert caught.value.code == "training_diverged"


def test_logits_that_are_no_numbers_where_it_is_watched_end_the_run() -> None:
    def watch(_: VisionLanguageAlignment) -> Watched:
        return Watched(float("nan"), 0.5, 0.5)

    with pytest.raises(ModelFailure, match="after epoch 1 documents have no logits"):
        go_on(course_of(SETTINGS), SETTINGS, epochs=3, watch=watch)


def test_a_scale_at_its_bound_comes_back_when_that_is_better() -> None:
    course = course_of(SETTINGS)
    with torch.no_grad():
        course.model.log_scale.fill_(math.log(LARGEST) + 3)
    go_on(course, SETTINGS, epochs=3)
    assert course.model.log_scale.item() < math.log(LARGEST)


class Counting(Corpus):
    """Counts the batches that are asked for."""

    asked: list[list[int]]

    def documents(self, rows: Rows, shape: Shape, device: torch.device) -> Any:
        self.asked.append(rows.tolist())
        return super().documents(rows, shape, device)


def test_every_class_is_learned_from_as_often_as_any_other() -> None:
    Counting.asked = []
    counting = Counting(*(getattr(CORPUS, name) for name in CORPUS.__dataclass_fields__))
    go_on(course_of(), epochs=2, corpus=counting)
    assert [len(batch) for batch in Counting.asked] == [4, 4, 4, 4, 4, 4]
    assert Counter(int(CORPUS.labels[row]) for batch in Counting.asked for row in batch) == {0: 12, 1: 12}
    assert Counting.asked[:3] != Counting.asked[3:]


def test_weights_decay_and_the_scale_does_not() -> None:
    # Nothing pulls at the parameters but their decay.
    settings = Training(
        batch=4, classification_weight=0, contrastive_weight=0, weight_decay=1, learning_rate=0.1, warmup=0
    )
    course = course_of(settings)
    with torch.no_grad():
        for parameter in course.model.parameters():
            parameter.fill_(0.5)
    go_on(course, settings, epochs=1)
    decayed = {name for name, parameter in course.model.named_parameters() if (parameter < 0.49).all()}
    kept = {name for name, parameter in course.model.named_parameters() if (parameter == 0.5).all()}
    assert decayed == {"words", "projection.weight", "adapter.0.weight", "adapter.2.weight"}
    assert kept == {name for name, _ in course.model.named_parameters()} - decayed
    assert "log_scale" in kept


@pytest.fixture
def one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch is one step where a batch has room for all documents."""
    monkeypatch.setattr("core.training.loop.FEWEST_STEPS", 1)


@pytest.mark.parametrize(("documents", "steps"), [(6, 1), (12, 2), (24, 3), (40, 4), (200, 4)])
def test_a_few_documents_are_taken_in_several_steps(documents: int, steps: int) -> None:
    examples = [*documents_of("bill", documents // 2), *documents_of("card", documents - documents // 2)]
    corpus, settings = corpus_of(examples, CLASSES), SETTINGS.model_copy(update={"batch": 64})
    course = course_of(settings)
    run(course, corpus, np.arange(documents), TEXTS, settings, 1, None, lambda: None, lambda _: None)
    (taken, *_) = (int(state["step"]) for state in course.optimizer.state.values())
    assert taken == steps


@pytest.mark.usefixtures("one_step")
def test_blocks_learn_a_hundred_times_more_slowly() -> None:
    # The first step of Adam moves every weight by the learning rate, whatever its gradient.
    settings = SETTINGS.model_copy(update={"batch": 64, "warmup": 0, "weight_decay": 0})
    course = course_of(settings, blocks=True)
    go_on(course, settings, epochs=1)
    moved = {
        name: float((tensor - course.start[name]).abs().max()) for name, tensor in course.model.state_dict().items()
    }
    assert moved["blocks.turn.weight"] == pytest.approx(1e-4, rel=0.01)
    assert moved["adapter.2.weight"] == pytest.approx(1e-2, rel=0.01)


@pytest.mark.usefixtures("one_step")
def test_the_gradient_is_clipped() -> None:
    def moved(clip: float) -> float:
        # After one step the second moments are the squares of the gradients, times a thousandth.
        settings = SETTINGS.model_copy(update={"gradient_clip": clip, "batch": 64})
        course = go_on(course_of(settings), settings, epochs=1)
        moments = [state["exp_avg_sq"] for state in course.optimizer.state.values()]
        return math.sqrt(sum(float(moment.sum()) for moment in moments) * 1000)

    assert moved(0.01) == pytest.approx(0.01, rel=1e-3)
    assert moved(1e-4) == pytest.approx(1e-4, rel=1e-2)


def test_a_course_begins_the_same_whatever_was_drawn_before_and_leaves_chance_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = course_of()
    assert torch.equal(torch.rand(3), expected)
    second, third = course_of(), course_of(SETTINGS.model_copy(update={"seed": 1}))
    name = "adapter.0.weight"
    assert torch.equal(first.start[name], second.start[name])
    assert not torch.equal(first.start[name], third.start[name])


def test_a_restored_course_has_its_history_as_records() -> None:
    course = go_on(course_of(), epochs=1, watch=rising)
    other = course_of()
    other.restore(course.tensors(), course.about())
    assert isinstance(other.history[0], EpochRecord)
    assert other.history == course.history
    assert other.best is not None
    assert other.best.watched == (course.best and course.best.watched)
