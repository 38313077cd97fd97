import random
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.backends.fake import Fake
from core.extraction.ranker import Ranker
from core.extraction.signals import NONE_SIGNALS, SIGNALS
from samples.composed import Composition, compose
from samples.ranker_training import KEPT, RENDERED, Example, Network, document, examples, save, train
from samples.rendered import rendered


@pytest.fixture(scope="module")
def documents() -> list[Composition]:
    return [document(seed) for seed in range(1, 9)]


@pytest.fixture(scope="module")
def made(documents: list[Composition]) -> list[Example]:
    return [item for known in documents for item in _examples(known)]


@pytest.fixture(scope="module")
def network(made: list[Example]) -> Network:
    return train(made, made[:8], epochs=12, seed=3).eval()


def test_one_document_in_so_many_is_a_rendered_one() -> None:
    assert document(RENDERED) == rendered(RENDERED)
    assert document(RENDERED + 1) == compose(RENDERED + 1)


def test_a_question_without_an_answer_has_no_right_candidate(documents: list[Composition]) -> None:
    for known in documents:
        unanswerable = sum(asked.answer is None for asked in known.questions)
        assert sum(not item.right.any() for item in _examples(known)) == unanswerable


def test_most_answers_are_candidates(documents: list[Composition], made: list[Example]) -> None:
    answerable = sum(asked.answer is not None for known in documents for asked in known.questions)
    assert sum(item.right.any() for item in made) > 0.7 * answerable


def test_examples_are_signals_of_not_too_many_candidates(made: list[Example]) -> None:
    for item in made:
        assert item.candidates.shape == (len(item.right), len(SIGNALS))
        assert item.none.shape == (len(NONE_SIGNALS),)
        assert len(item.right) <= KEPT


def test_a_document_without_questions_teaches_nothing(documents: list[Composition]) -> None:
    assert _examples(Composition(documents[0].pages, (), "letter")) == []


def test_what_is_right_becomes_likelier_by_training(made: list[Example], network: Network) -> None:
    torch.manual_seed(3)
    untrained = Network(made).eval()
    assert _surprise(network, made) < 0.5 * _surprise(untrained, made)


def test_the_same_seed_gives_the_same_weights(made: list[Example], network: Network) -> None:
    again, other = (train(made, made[:8], epochs=12, seed=seed).state_dict() for seed in (3, 4))
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())
    assert not torch.equal(other["candidate.layers.0.weight"], again["candidate.layers.0.weight"])


def test_saved_weights_rank_as_the_network_did(made: list[Example], network: Network, tmp_path: Path) -> None:
    save(network, 1.5, tmp_path / "ranker.safetensors")
    ranker = Ranker.load(tmp_path / "ranker.safetensors")
    leanings = []
    for item in made[:20]:
        logits = (_logits(network, item) / 1.5).numpy()
        shares, missing = ranker.probabilities(item.candidates.astype(np.float32), item.none)
        np.testing.assert_allclose(shares / shares.sum(), _shares(logits[:-1]), atol=0.01)
        leanings.append(np.log(missing / shares.max()) - (logits[-1] - logits[:-1].max()))
    # The ranker may lean towards answering, but by the same for every question.
    assert np.ptp(leanings) < 0.02


def _examples(known: Composition) -> list[Example]:
    return list(examples(known, Fake().encode_texts, random.Random(0)))


def _surprise(network: Network, made: list[Example]) -> float:
    """Mean of what it costs to be told what is right, in nats."""
    costs = []
    for item in made:
        right = torch.tensor([*item.right, not item.right.any()])
        costs.append(-_logits(network, item).log_softmax(dim=0)[right].logsumexp(dim=0).item())
    return float(np.mean(costs))


@torch.no_grad()
def _logits(network: Network, item: Example) -> torch.Tensor:
    """Those of the candidates, then that there is no answer."""
    candidates = torch.from_numpy(item.candidates.astype(np.float32))
    return network(candidates[None], torch.from_numpy(item.none)[None])[0]  # type: ignore[no-any-return]


def _shares(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max())
    shares: NDArray[np.float32] = powers / powers.sum()
    return shares
