import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up import BACKEND, Turning, classifier_of, described, documents_of, example_of, page_of
from torch import nn

from core import checkpoints
from core.alignment import Learned
from core.backends import EncodePages, nothing_to_unfreeze
from core.class_set import ClassSet
from core.classify import Classifier
from core.contract import TrainingProgress
from core.errors import RejectedInput
from core.features import Features
from core.settings import Training
from core.training.dataset import Dataset, Example
from core.training.lesson import Lesson, Subject, learn
from core.training.report import TrainingReport
from core.zero_shot import Scores

LABELLED = ("bill", "card", "deed", "note")
UNLABELLED = ("memo", "plan")
MISLEADING = described([*LABELLED, *UNLABELLED], {"bill": "card", "card": "bill"})
"""Bills are described as cards, and cards as bills."""
SETTINGS = Training(epochs=4, learning_rate=0.05)
SHORT = Training(epochs=1)
DATASET = Dataset.part([example for label in LABELLED for example in documents_of(label, 24)], SETTINGS)


class Ended(Exception):
    """Stands for whatever ends a lesson."""


def nothing(_: TrainingProgress) -> None:
    """Listen to no report."""


def lesson(
    state: Path,
    dataset: Dataset = DATASET,
    class_set: ClassSet = MISLEADING,
    settings: Training = SETTINGS,
    report: Callable[[TrainingProgress], None] = nothing,
    trainable: Callable[[int], nn.Module] = nothing_to_unfreeze,
    **skipped: str,
) -> Lesson:
    classifier = classifier_of(class_set)
    subject = Subject(
        class_set, 3, classifier, classifier, BACKEND.encode_texts, BACKEND.fingerprint, (4, 7), trainable
    )
    return learn(dataset, subject, settings, skipped=skipped, device="cpu", state=state, report=report)


def bytes_of(one: Lesson, folder: Path) -> bytes:
    checkpoints.write(folder / "checkpoint", one.learned.tensors(), one.learned.about())
    return (folder / "checkpoint").read_bytes()


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lesson, list[TrainingProgress]]:
    """A lesson that nothing disturbed, and what it reported."""
    heard: list[TrainingProgress] = []
    folder = tmp_path_factory.mktemp("lesson")
    return lesson(folder / "state", report=heard.append, broken="cannot be read"), heard


@pytest.fixture(scope="module")
def classifiers(learned: tuple[Lesson, list[TrainingProgress]]) -> tuple[Classifier, Classifier]:
    """By descriptions alone, and with what was learned."""
    before = classifier_of(MISLEADING)
    return before, before.with_learned([learned[0].learned.bind(before.names, before.class_vectors)])


class Clueless:
    """A ZeroShot to which every class is as likely as any other, on any page."""

    names = tuple(sorted((*LABELLED, *UNLABELLED)))
    class_vectors = BACKEND.encode_texts(names)
    encoders: Mapping[str, EncodePages] = {}

    def scores(self, pages: Sequence[Features]) -> Scores:
        return np.zeros((len(pages), len(self.names)))

    def logits(self, scores: Scores) -> tuple[Scores, Scores]:
        return scores, np.full(len(scores), -1.0)


def looked_at(label: str, number: int) -> Features:
    """A page of that class as somebody sees it who cannot read: in a space of its own."""
    place = np.random.default_rng(len(label) + ord(label[0])).normal(size=12)
    vector = place + 0.3 * np.random.default_rng(number).normal(size=12)
    return Features.of_vector((vector / np.linalg.norm(vector)).astype(np.float32))


def accuracy(classifier: Classifier, label: str) -> float:
    """On documents that nothing was learned from."""
    found = [classifier.names[classifier.chances([page_of(label, number)])[0].argmax()] for number in range(500, 515)]
    return found.count(label) / len(found)


def test_what_descriptions_mislead_about_labels_put_right(classifiers: tuple[Classifier, Classifier]) -> None:
    before, after = classifiers
    assert [accuracy(before, label) for label in ("bill", "card")] == [0, 0]
    assert min(accuracy(after, label) for label in ("bill", "card")) > 0.8


def test_classes_without_labels_are_told_as_well_as_before(classifiers: tuple[Classifier, Classifier]) -> None:
    before, after = classifiers
    for label in UNLABELLED:
        assert accuracy(after, label) == accuracy(before, label) == 1


def test_labels_teach_an_encoder_of_another_space_and_how_far_to_believe_it(tmp_path: Path) -> None:
    examples = [
        replace(example, pages=(looked_at(label, 100 * place + number),))
        for place, label in enumerate(LABELLED)
        for number, example in enumerate(documents_of(label, 24))
    ]
    classifier = Classifier(Clueless())
    subject = Subject(
        MISLEADING, 1, classifier, classifier, BACKEND.encode_texts, "eyes-1", shared=False, worded=False
    )
    settings = SETTINGS.model_copy(update={"epochs": 12, "learning_rate": 0.02})
    one = learn(
        Dataset.part(examples, settings),
        subject,
        settings,
        skipped={},
        device="cpu",
        state=tmp_path / "s",
        report=nothing,
    )
    assert one.report.accepted, one.report.reasons
    assert one.report.before.macro_accuracy < 0.5
    assert one.report.after.macro_accuracy > 0.9
    checkpoints.write(tmp_path / "checkpoint", one.learned.tensors(), one.learned.about())
    restored = Learned.restore(*checkpoints.read(tmp_path / "checkpoint"))
    assert restored.model.share == one.report.interpolation
    bound = classifier.with_learned([restored.bind(classifier.names, classifier.class_vectors)])
    told = [classifier.names[bound.chances([looked_at("deed", 900 + number)])[0].argmax()] for number in range(10)]
    assert told.count("deed") >= 9


def test_the_report_says_that_it_is_better_on_documents_that_were_never_learned_from(
    learned: tuple[Lesson, list[TrainingProgress]],
) -> None:
    report = learned[0].report
    assert report.before.macro_accuracy == 0.5
    assert report.after.macro_accuracy is not None
    assert report.after.macro_accuracy > 0.9
    assert report.accepted
    assert report.before.documents == report.after.documents == len(DATASET.test)
    assert {flip.document_id for flip in report.flips} <= {example.document_id for example in DATASET.test}
    assert [flip.effect for flip in report.flips].count("put right") >= 5


def test_the_report_is_complete_and_adds_up(learned: tuple[Lesson, list[TrainingProgress]]) -> None:
    report = learned[0].report
    said = json.loads(report.model_dump_json())
    assert TrainingReport.model_validate(said) == report
    assert report.labels == dict.fromkeys(LABELLED, 24)
    assert report.documents == {
        "train": len(DATASET.train),
        "validation": len(DATASET.validation),
        "test": len(DATASET.test),
    }
    assert sum(report.documents.values()) == sum(report.labels.values())
    assert (report.class_set, report.class_version, report.parents) == ("one-off", 3, (4, 7))
    assert report.encoder == BACKEND.fingerprint
    assert report.skipped == {"broken": "cannot be read"}
    assert len(report.held_out) == 1
    assert set(report.held_out) < set(LABELLED)
    assert report.settings["epochs"] == 4
    assert {"store", "captions"}.isdisjoint(report.settings)
    assert (report.temperature, report.seconds > 0) == (learned[0].learned.temperature, True)


def test_a_rehearsal_finds_how_long_to_train(learned: tuple[Lesson, list[TrainingProgress]]) -> None:
    report = learned[0].report
    phases = [(record.phase, record.epoch) for record in report.history]
    rehearsed = [number for phase, number in phases if phase == "rehearsal"]
    assert report.chosen_epoch in rehearsed
    trained = [("training", number + 1) for number in range(report.chosen_epoch or 0)]
    assert phases == [("rehearsal", number + 1) for number in range(len(rehearsed))] + trained
    for record in report.history:
        watched = (record.validation_loss, record.seen_accuracy, record.unseen_accuracy)
        assert all((figure is not None) is (record.phase == "rehearsal") for figure in watched)


def test_it_tells_how_far_it_is(learned: tuple[Lesson, list[TrainingProgress]]) -> None:
    one, heard = learned
    assert [(told.phase, told.done) for told in heard[:-1]] == [
        (record.phase, record.epoch) for record in one.report.history
    ]
    assert [told.loss for told in heard[:-1]] == [record.loss for record in one.report.history]
    assert {told.total for told in heard if told.phase == "training"} == {one.report.chosen_epoch}
    assert (heard[-1].phase, heard[-1].total) == ("judging", len(DATASET.test))


def test_what_was_learned_names_the_classes_that_it_saw(learned: tuple[Lesson, list[TrainingProgress]]) -> None:
    one = learned[0].learned
    assert one.labelled == set(LABELLED)
    assert not one.model.training
    assert one.familiarity.anchors.shape[1] == len(DATASET.train) + len(DATASET.validation)


@pytest.mark.parametrize(("phase", "done"), [("rehearsal", 2), ("training", 1), ("judging", 0)])
def test_a_report_that_raises_ends_the_lesson_which_then_goes_on_where_it_was(
    phase: str, done: int, learned: tuple[Lesson, list[TrainingProgress]], tmp_path: Path
) -> None:
    def end(told: TrainingProgress) -> None:
        if (told.phase, told.done) == (phase, done):
            raise Ended

    with pytest.raises(Ended):
        lesson(tmp_path / "state", report=end)
    assert (tmp_path / "state").exists()
    heard: list[TrainingProgress] = []
    resumed = lesson(tmp_path / "state", report=heard.append)
    told = [(one.phase, one.done) for one in learned[1]]
    assert [(one.phase, one.done) for one in heard] == told[told.index((phase, done)) + (phase != "judging") :]
    assert bytes_of(resumed, tmp_path) == bytes_of(learned[0], tmp_path)
    assert without_seconds(resumed.report) == without_seconds(learned[0].report)


def without_seconds(report: TrainingReport) -> dict[str, Any]:
    said = report.model_dump(exclude={"seconds", "skipped"})
    return {**said, "history": [{**record, "seconds": 0} for record in said["history"]]}


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_lesson import lesson

def report(told):
    print(told.phase, told.done, flush=True)
    if told.done == 3:
        time.sleep(600)

lesson(Path(sys.argv[1]), report=report)
"""


def test_a_lesson_that_was_killed_ends_with_the_same_checkpoint(
    learned: tuple[Lesson, list[TrainingProgress]], tmp_path: Path
) -> None:
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, str(tmp_path / "state"), str(here), str(here.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "rehearsal 2\n":
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    heard: list[TrainingProgress] = []
    resumed = lesson(tmp_path / "state", report=heard.append)
    assert (heard[0].phase, heard[0].done > 2) == ("rehearsal", True)
    assert bytes_of(resumed, tmp_path) == bytes_of(learned[0], tmp_path)
    assert without_seconds(resumed.report) == without_seconds(learned[0].report)


@pytest.mark.parametrize("changed", ["labels", "classes", "settings"])
def test_what_was_saved_of_another_lesson_is_not_used(changed: str, tmp_path: Path) -> None:
    few = Dataset(DATASET.train[:12], DATASET.validation[:6], DATASET.test[:4])
    lesson(tmp_path / "state", few, settings=SHORT)
    other: dict[str, Any] = {
        "labels": {"dataset": Dataset(few.train[1:], few.validation, few.test), "settings": SHORT},
        "classes": {"dataset": few, "class_set": described(MISLEADING.names), "settings": SHORT},
        "settings": {"dataset": few, "settings": SHORT.model_copy(update={"seed": 1})},
    }[changed]
    heard: list[TrainingProgress] = []
    lesson(tmp_path / "state", report=heard.append, **other)
    assert [(told.phase, told.done) for told in heard] == [("rehearsal", 1), ("training", 1), ("judging", 0)]


def test_how_often_it_gives_signs_of_life_does_not_make_it_another_lesson(tmp_path: Path) -> None:
    few = Dataset(DATASET.train[:12], DATASET.validation[:6], DATASET.test[:4])
    lesson(tmp_path / "state", few, settings=SHORT)
    heard: list[TrainingProgress] = []
    changed = SHORT.model_copy(update={"heartbeat": 1.0, "silent_for": 9.0, "yield_for": 0.0, "time_limit": 60.0})
    lesson(tmp_path / "state", few, settings=changed, report=heard.append)
    assert [told.phase for told in heard] == ["judging"]


def test_what_was_saved_by_other_code_is_begun_anew(tmp_path: Path) -> None:
    few = Dataset(DATASET.train[:12], DATASET.validation[:6], DATASET.test[:4])
    expected = bytes_of(lesson(tmp_path / "state", few, settings=SHORT), tmp_path)
    tensors, about = checkpoints.read(tmp_path / "state")
    narrower = {name: tensor[..., :-1] if tensor.ndim == 2 else tensor for name, tensor in tensors.items()}
    checkpoints.save(tmp_path / "state", narrower, about)
    assert bytes_of(lesson(tmp_path / "state", few, settings=SHORT), tmp_path) == expected


def test_a_damaged_file_is_not_used(tmp_path: Path) -> None:
    few = Dataset(DATASET.train[:12], DATASET.validation[:6], DATASET.test[:4])
    expected = bytes_of(lesson(tmp_path / "state", few, settings=SHORT), tmp_path)
    whole = (tmp_path / "state").read_bytes()
    (tmp_path / "state").write_bytes(whole[: len(whole) // 2])
    assert bytes_of(lesson(tmp_path / "state", few, settings=SHORT), tmp_path) == expected


def examples(*labels: str, numbers: range = range(8)) -> tuple[Example, ...]:
    return tuple(example_of(label, number) for label in labels for number in numbers)


TEST = examples("bill", numbers=range(100, 106))


def test_without_validation_documents_all_epochs_are_trained_and_half_of_it_is_kept(tmp_path: Path) -> None:
    report = lesson(tmp_path / "state", Dataset(examples("bill", "card"), (), TEST), settings=SHORT).report
    assert [record.phase for record in report.history] == ["training"]
    assert (report.interpolation, report.temperature, report.held_out) == (0.5, 1.0, ())
    assert (report.unseen_before, report.unseen_after) == (None, None)


def contradicting() -> tuple[Example, ...]:
    """Validation documents that are labelled as bills are cards, and cards bills."""
    other = {"bill": "card", "card": "bill"}
    own = examples("bill", "card", numbers=range(50, 53))
    return tuple(replace(example, label=other[example.label]) for example in own)


def test_a_rehearsal_that_only_makes_things_worse_is_followed_for_one_epoch_and_a_quarter_of_it(
    tmp_path: Path,
) -> None:
    # Descriptions mislead in the same way.
    settings = SETTINGS.model_copy(update={"patience": 2})
    one = lesson(tmp_path / "state", Dataset(examples("bill", "card"), contradicting(), TEST), settings=settings)
    phases = [(record.phase, record.epoch) for record in one.report.history]
    assert phases == [("rehearsal", 1), ("rehearsal", 2), ("rehearsal", 3), ("training", 1)]
    assert (one.report.chosen_epoch, one.report.interpolation) == (1, 0.25)
    trained, _ = checkpoints.read(tmp_path / "state")
    torch.testing.assert_close(one.learned.model.state_dict()["words"], 0.25 * trained["training.model.words"])


def test_who_was_sure_and_wrong_in_the_rehearsal_is_less_sure_afterwards(tmp_path: Path) -> None:
    dataset = Dataset(examples("bill", "card"), contradicting(), TEST)
    one = lesson(tmp_path / "state", dataset, described(MISLEADING.names), SHORT)
    assert one.report.temperature == one.learned.temperature > 2


def test_without_validation_documents_classes_held_out_still_say_when_to_stop(tmp_path: Path) -> None:
    report = lesson(tmp_path / "state", Dataset(examples(*LABELLED), (), TEST), settings=SHORT).report
    assert len(report.held_out) == 1
    assert report.history[0].seen_accuracy is None
    assert report.history[0].unseen_accuracy is not None
    assert report.temperature == 1


def test_of_a_single_labelled_class_nothing_is_learned_that_could_do_harm(tmp_path: Path) -> None:
    dataset = Dataset(examples("bill"), examples("bill", numbers=range(50, 53)), TEST)
    one = lesson(tmp_path / "state", dataset, settings=SHORT)
    before = classifier_of(MISLEADING)
    aligned = one.learned.bind(before.names, before.class_vectors)
    logits = before.logits([TEST[0].pages])[0]
    np.testing.assert_allclose(aligned.adjust(logits, [TEST[0].pages]), logits)
    assert not one.report.accepted


def test_of_two_classes_none_is_held_out_and_test_documents_of_one_judge_that_one_alone(tmp_path: Path) -> None:
    dataset = Dataset(examples("bill", "card"), examples("bill", "card", numbers=range(50, 53)), TEST)
    report = lesson(tmp_path / "state", dataset).report
    assert (report.held_out, report.unseen_before, report.unseen_after) == ((), None, None)
    assert report.history[0].seen_accuracy is not None
    assert report.history[0].unseen_accuracy is None
    for measured in (report.before, report.after):
        assert list(measured.per_class) == list(measured.confusion) == ["bill"]
        assert measured.macro_accuracy == measured.accuracy == measured.per_class["bill"].accuracy
    assert report.labels == {"bill": 17, "card": 11}
    assert report.accepted


def test_without_test_documents_nothing_is_accepted(tmp_path: Path) -> None:
    dataset = Dataset(examples("bill", "card"), (), ())
    report = lesson(tmp_path / "state", dataset, settings=SHORT).report
    assert not report.accepted
    assert (report.after.documents, report.after.macro_accuracy, report.flips) == (0, None, ())


def test_what_serves_already_is_what_a_candidate_is_compared_with(
    learned: tuple[Lesson, list[TrainingProgress]], classifiers: tuple[Classifier, Classifier], tmp_path: Path
) -> None:
    before, serving = classifiers
    subject = Subject(MISLEADING, 3, before, serving, BACKEND.encode_texts, BACKEND.fingerprint)
    again = learn(DATASET, subject, SETTINGS, skipped={}, device="cpu", state=tmp_path / "state", report=nothing)
    assert bytes_of(again, tmp_path) == bytes_of(learned[0], tmp_path)
    assert again.report.before.macro_accuracy == learned[0].report.after.macro_accuracy
    assert not again.report.accepted
    assert again.report.reasons[0].startswith("macro accuracy is not better")


def test_the_threads_that_others_use_are_left_alone_and_change_no_number(tmp_path: Path) -> None:
    dataset, before = Dataset(examples("bill", "card"), (), ()), torch.get_num_threads()
    expected = bytes_of(lesson(tmp_path / "one", dataset, settings=SHORT), tmp_path)
    torch.set_num_threads(before + 2)
    try:
        assert bytes_of(lesson(tmp_path / "two", dataset, settings=SHORT), tmp_path) == expected
        assert torch.get_num_threads() == before + 2
    finally:
        torch.set_num_threads(before)


def spoilt(own: Sequence[Example]) -> tuple[Example, ...]:
    """The same documents, with other pages."""
    return tuple(replace(example, pages=(page_of("nonsense", number),)) for number, example in enumerate(own))


def test_a_rehearsal_learns_from_neither_validation_documents_nor_classes_held_out(tmp_path: Path) -> None:
    def losses(dataset: Dataset, folder: str) -> tuple[tuple[str, ...], list[float]]:
        report = lesson(tmp_path / folder, dataset, settings=SHORT).report
        return report.held_out, [record.loss for record in report.history]

    train, validation = examples(*LABELLED), examples(*LABELLED, numbers=range(50, 53))
    (held_out,), before = losses(Dataset(train, validation, ()), "before")
    others = tuple(example for example in train if example.label != held_out)
    unseen = tuple(example for example in train if example.label == held_out)
    _, after = losses(Dataset(others + spoilt(unseen), spoilt(validation), ()), "after")
    assert after[0] == pytest.approx(before[0])
    assert after[1] != pytest.approx(before[1], rel=0.01)
    _, after = losses(Dataset(spoilt(others) + unseen, validation, ()), "spoilt")
    assert after[0] != pytest.approx(before[0], rel=0.01)


def test_nothing_is_learned_from_test_documents(tmp_path: Path) -> None:
    dataset = Dataset(examples("bill", "card"), examples("bill", "card", numbers=range(50, 53)), TEST)
    one = lesson(tmp_path / "one", dataset, settings=SHORT)
    other = lesson(tmp_path / "other", replace(dataset, test=spoilt(TEST)), settings=SHORT)
    assert bytes_of(one, tmp_path) == bytes_of(other, tmp_path)
    assert one.report.before != other.report.before


def test_blocks_of_the_encoder_learn_too_and_pages_are_then_seen_by_them(tmp_path: Path) -> None:
    dataset = Dataset(examples("bill", "card"), examples("bill", "card", numbers=range(50, 53)), TEST)
    settings = SHORT.model_copy(update={"unfreeze_last_blocks": 2, "learning_rate": 0.03})
    asked: list[int] = []

    def trainable(blocks: int) -> Turning:
        asked.append(blocks)
        return Turning()

    one = lesson(tmp_path / "state", dataset, settings=settings, trainable=trainable)
    assert set(asked) == {2}
    turned = one.learned.blocks["turn.weight"]
    assert 0 < float((turned - torch.eye(len(turned))).abs().max()) < 0.01
    assert one.report.after.documents == len(TEST)
    bytes_of(one, tmp_path)
    restored = Learned.restore(*checkpoints.read(tmp_path / "checkpoint"))
    assert restored.key == one.learned.key is not None


def test_an_encoder_without_blocks_cannot_learn_them(tmp_path: Path) -> None:
    with pytest.raises(RejectedInput, match="nothing_to_unfreeze"):
        lesson(tmp_path / "state", settings=Training(unfreeze_last_blocks=1))
