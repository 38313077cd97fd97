import numpy as np

from core.zero_shot import log_sum_exp


def test_the_logit_of_one_of_several_is_that_of_their_sum() -> None:
    logits = np.array([[0.0, 1.0, -3.0], [900.0, 899.0, -np.inf], [-900.0, -901.0, -902.0]])
    np.testing.assert_allclose(log_sum_exp(logits), np.logaddexp.reduce(logits, axis=1))


def test_of_nothing_and_of_the_impossible_it_is_impossible() -> None:
    assert log_sum_exp(np.full((1, 2), -np.inf)).tolist() == [-np.inf]
    assert log_sum_exp(np.zeros((2, 0))).tolist() == [-np.inf, -np.inf]
