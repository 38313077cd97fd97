from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from known import known
from PIL import Image
from torch import Tensor, nn

from core.backends import EncodePages
from core.backends.fake import DIMENSIONS, Fake
from core.class_set import ClassSet
from core.errors import RejectedInput
from core.features import page_vector
from core.few_shot import (
    WAYS,
    FewShotReport,
    Plan,
    Spread,
    classes_with_shots,
    compare,
    compare_folder,
    draw,
    parted,
    plot_ways,
)
from core.settings import Settings, Training

CLASSES = ClassSet.one_off({"invoice": "a bill", "letter": "a letter", "recipe": "a dish", "menu": "what is served"})
PLAN = Plan(shots=3, seeds=2, fewest=6)
COUNTS = {"invoice": 6, "letter": 7, "recipe": 8, "menu": 2, "poem": 3}
DOCUMENTS = [known(name, index) for name, count in COUNTS.items() for index in range(count)]
QUICK = Settings(training=Training(epochs=3))


@pytest.fixture(scope="module")
def report() -> FewShotReport:
    again = replace(known("letter", 0), file="letter/again.png")
    others = [again, known("letter", 50, blank=True), replace(known("menu", 60), pages=(), error="unreadable")]
    return compare([*DOCUMENTS, *others], CLASSES, QUICK, PLAN, Fake(), lambda done, total: None)


def test_every_way_is_tested_on_the_same_documents_with_each_seed(report: FewShotReport) -> None:
    assert report.documents == {"invoice": 6, "letter": 7, "recipe": 8}
    assert report.tested == 12
    assert [item.seed for item in report.rounds] == [0, 1]
    for item in report.rounds:
        assert list(item.ways) == list(WAYS)
        for measured in item.ways.values():
            assert {name: result.documents for name, result in measured.per_class.items()} == {
                "invoice": 3,
                "letter": 4,
                "recipe": 5,
            }
    assert report.ways.keys() == WAYS.keys()
    assert all(score.macro_accuracy.mean > 0.8 for way, score in report.ways.items() if way != "zero_shot")


def test_classes_without_shots_and_out_of_the_set_are_watched(report: FewShotReport) -> None:
    assert report.without_shots is not None
    assert report.without_shots.documents == {"menu": 2}
    assert report.without_shots.before.per_class.keys() == report.without_shots.after.per_class.keys() == {"menu"}
    assert report.out_of_set is not None
    assert report.out_of_set.documents == 3
    assert 0 <= report.out_of_set.review_share_before <= 1


def test_what_is_blank_unreadable_or_there_already_is_left_out(report: FewShotReport) -> None:
    assert report.left_out == {
        "letter/again.png": "duplicate",
        "letter/50.png": "blank",
        "menu/60.png": "unreadable",
    }


def test_a_set_whose_classes_all_have_shots_has_no_others(report: FewShotReport) -> None:
    documents = [document for document in DOCUMENTS if document.truth in report.documents]
    plan = replace(PLAN, shots=1, seeds=1)
    told: list[tuple[int, int]] = []
    alone = compare(documents, CLASSES, QUICK, plan, Fake(), lambda done, total: told.append((done, total)))
    assert (alone.without_shots, alone.out_of_set) == (None, None)
    assert alone.ways["trained"].accuracy.sd == 0
    assert told == [(0, 1), (1, 1)]


class Learner(Fake):
    """A fake whose one block is a matrix, the identity at first."""

    def trainable(self, blocks: int) -> nn.Module:
        return _Turned(self)

    def tuned(self, blocks: Mapping[str, Tensor]) -> EncodePages:
        turned = _Turned(self)
        turned.load_state_dict(dict(blocks))
        return lambda batch: list(turned(batch).detach().numpy())


class _Turned(nn.Module):
    def __init__(self, model: Fake) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.eye(DIMENSIONS))
        self._model = model

    def forward(self, batch: Sequence[list[str]]) -> Tensor:
        vectors = [torch.from_numpy(parts) for parts in self._model.encode_documents(batch)]
        return torch.stack([page_vector(parts) for parts in vectors]) @ self.matrix


def test_where_blocks_of_the_encoder_learn_all_documents_are_seen_by_them() -> None:
    settings = QUICK.model_copy(update={"training": Training(epochs=2, unfreeze_last_blocks=1)})
    plan = replace(PLAN, shots=1, seeds=1)
    # Pages that the blocks have not seen would be refused with `not_tuned`.
    report = compare(DOCUMENTS, CLASSES, settings, plan, Learner(), lambda done, total: None)
    assert report.without_shots is not None
    assert report.out_of_set is not None


def test_shots_are_drawn_by_seed_and_content_alone() -> None:
    shots, tested = draw(DOCUMENTS, 2, seed=0)
    assert Counter(document.truth for document in shots) == dict.fromkeys(COUNTS, 2)
    assert {document.sha256 for document in shots}.isdisjoint(document.sha256 for document in tested)
    assert len(shots) + len(tested) == len(DOCUMENTS)
    assert draw(DOCUMENTS[::-1], 2, seed=0) == (shots, tested)
    assert draw(DOCUMENTS, 2, seed=1)[0] != shots


@pytest.mark.parametrize(("shots", "validation"), [(1, 0), (2, 0), (3, 1), (5, 1), (8, 2)])
def test_a_share_of_the_shots_says_when_to_stop(shots: int, validation: int) -> None:
    documents = [known("letter", index) for index in range(shots)]
    dataset = parted(documents, [], 0.2)
    assert (len(dataset.train), len(dataset.validation)) == (shots - validation, validation)


def test_a_spread_is_the_mean_and_the_sample_deviation() -> None:
    assert Spread.of([0.5, 0.7, None]).model_dump() == pytest.approx({"mean": 0.6, "sd": 0.02**0.5})
    assert Spread.of([0.5]) == Spread(mean=0.5, sd=0)


def test_shots_that_leave_nothing_to_test_are_refused() -> None:
    with pytest.raises(RejectedInput, match=r"7 at most, .* \(--fewest 9 or more\)") as refused:
        classes_with_shots(["letter"] * 20, CLASSES, Plan(shots=8, fewest=8))
    assert refused.value.code == "too_many_shots"


def test_too_small_classes_are_refused_and_the_largest_named() -> None:
    truths = ["letter"] * 8 + ["menu"] * 2 + ["recipe"] * 7 + ["poem"] * 30
    with pytest.raises(RejectedInput, match=r"8 different, .*: letter \(8\), recipe \(7\), menu \(2\)$") as refused:
        classes_with_shots(truths, CLASSES, Plan(shots=5))
    assert refused.value.code == "too_few_documents"


def test_a_folder_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "letter").mkdir()
    (tmp_path / "letter" / "ann.txt").write_text("Dear Ann")
    told: list[int] = []
    with pytest.raises(RejectedInput, match="too_few_documents"):
        compare_folder(tmp_path, CLASSES, QUICK, PLAN, lambda *done: told.append(1), lambda *done: told.append(2))
    assert told == []


def test_the_comparison_is_drawn_as_a_png(report: FewShotReport, tmp_path: Path) -> None:
    path = tmp_path / "ways.png"
    plot_ways(report, path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300
