import math

import pytest
import torch
from torch import Tensor

from core.training.losses import classification, contrastive

LOGITS = torch.tensor([[2.0, 1, 1], [1, 2, 1], [4, 2, 2]]).log()
"""Softmax of the rows: (½ ¼ ¼), (¼ ½ ¼), (½ ¼ ¼); of the columns: (2 1 4)/7, (1 2 2)/5, (1 1 2)/4."""


def loss(labels: list[int], captions: list[int], logits: Tensor = LOGITS) -> float:
    return contrastive(logits, torch.tensor(labels), torch.tensor(captions)).item()


def test_the_contrastive_loss_is_what_it_is_by_hand() -> None:
    to_captions = (math.log(2) + math.log(2) + math.log(4)) / 3
    to_documents = (math.log(7 / 2) + math.log(5 / 2) + math.log(2)) / 3
    assert loss([0, 1, 2], [0, 1, 2]) == pytest.approx((to_captions + to_documents) / 2)


@pytest.mark.parametrize(
    ("labels", "captions"),
    [([0, 0, 1], [0, 1, 2]), ([0, 1, 2], [5, 5, 2])],
    ids=["of one class", "of one caption"],
)
def test_all_that_belongs_together_is_a_positive(labels: list[int], captions: list[int]) -> None:
    to_captions = (math.log(2) + math.log(4)) / 2 * 2 + math.log(4)
    to_documents = (math.log(7 / 2) + math.log(7)) / 2 + (math.log(5) + math.log(5 / 2)) / 2 + math.log(2)
    assert loss(labels, captions) == pytest.approx((to_captions + to_documents) / 6)


def test_documents_of_one_class_do_not_repel_each_others_captions() -> None:
    def pull(labels: list[int]) -> float:
        logits = torch.zeros(3, 3, requires_grad=True)
        contrastive(logits, torch.tensor(labels), torch.arange(3)).backward()
        assert logits.grad is not None
        return -logits.grad[0, 1].item()

    assert pull([0, 0, 1]) > 0 > pull([0, 1, 2])


def test_a_batch_of_one_class_has_nothing_to_tell_apart() -> None:
    logits = torch.zeros(3, 3, requires_grad=True)
    contrastive(logits, torch.zeros(3), torch.arange(3)).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.zeros(3, 3))


def test_large_logits_give_finite_losses() -> None:
    assert loss([0, 1, 2], [0, 1, 2], 1e4 * torch.eye(3)) == 0
    assert math.isfinite(loss([0, 1, 2], [0, 1, 2], -1e4 * torch.eye(3)))


def test_classification_counts_none_of_these_as_a_rival() -> None:
    logits, labels = torch.tensor([[2.0, 1.0]]).log(), torch.tensor([0])
    by_hand = {outside: math.log((3 + outside) / 2) for outside in (1e-9, 1.0, 5.0)}
    for outside, expected in by_hand.items():
        assert classification(logits, torch.tensor([outside]).log(), labels, 0).item() == pytest.approx(expected)


def test_smoothing_gives_every_class_and_none_of_these_a_share() -> None:
    logits, outside, labels = torch.tensor([[2.0, 1.0]]).log(), torch.tensor([1.0]).log(), torch.tensor([0])
    expected = 0.7 * math.log(2) + 0.1 * (math.log(2) + 2 * math.log(4))
    assert classification(logits, outside, labels, 0.3).item() == pytest.approx(expected)


def test_the_loss_of_a_batch_is_the_mean() -> None:
    logits, outside, labels = torch.randn(5, 3), torch.randn(5), torch.tensor([0, 2, 1, 1, 0])
    single = [classification(logits[[row]], outside[[row]], labels[[row]], 0.1).item() for row in range(5)]
    assert classification(logits, outside, labels, 0.1).item() == pytest.approx(sum(single) / 5)
