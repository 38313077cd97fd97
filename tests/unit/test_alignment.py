import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from made_up import Turning, classifier_of, described, documents_of, page_of
from torch import Tensor, nn

from core import checkpoints
from core.alignment import (
    LARGEST,
    START,
    Aligned,
    Documents,
    Learned,
    Logits,
    Pooling,
    Shape,
    VisionLanguageAlignment,
    settle,
)
from core.errors import ModelFailure
from core.familiarity import Familiarity
from core.sketch import Sketch, sketch_of

WIDTH = 16
POOLINGS = get_args(Pooling)
RANDOM = np.random.default_rng(5)


def sketch(pages: int = 1, width: int = WIDTH, seed: int = 0) -> Sketch:
    random = np.random.default_rng(seed)
    weights = (0.5 ** np.arange(pages)).astype(np.float32)
    places = np.sort(random.choice(4096, 12, replace=False))
    tokens = random.normal(size=(pages, width)).astype(np.float32)
    return Sketch(tokens, weights / weights.sum(), places, random.uniform(0.1, 0.3, 12).astype(np.float32))


def documents(shape: Shape) -> Documents:
    return Documents.of([sketch(1 + number % 3, shape.document_width, number) for number in range(5)], shape)


SKETCHES = [sketch(1 + number % 3, seed=number) for number in range(5)]


def stirred(shape: Shape, seed: int = 1) -> VisionLanguageAlignment:
    """A model as it might be after training: no parameter is zero."""
    torch.manual_seed(seed)
    model = VisionLanguageAlignment(shape)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model.eval()


def texts(width: int = WIDTH, count: int = 4) -> Tensor:
    return torch.from_numpy(np.random.default_rng(9).normal(size=(count, width)).astype(np.float32))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_in_a_shared_space_nothing_is_gained_at_the_start(pooling: Pooling) -> None:
    shape = Shape(WIDTH, WIDTH, pooling=pooling)
    gain = VisionLanguageAlignment(shape).gain(documents(shape), texts())
    assert gain.shape == (5, 4)
    assert gain.dtype == torch.float32
    assert gain.abs().max() < 1e-5
    assert stirred(shape).gain(documents(shape), texts()).abs().max() > 1


@pytest.mark.parametrize("pooling", POOLINGS)
def test_what_is_gained_is_how_much_better_documents_and_texts_fit_than_they_did(pooling: Pooling) -> None:
    shape = Shape(WIDTH, WIDTH, pooling=pooling)
    model, batch = stirred(shape), documents(shape)
    means = torch.stack([torch.from_numpy(one.weights @ one.tokens) for one in SKETCHES])
    before = START * nn.functional.normalize(means) @ nn.functional.normalize(texts()).T
    after = model.scale * model.encode_documents(batch) @ model.encode_texts(texts()).T
    torch.testing.assert_close(model.gain(batch, texts()), after - before)
    tuned = batch.tuned(torch.cat([torch.from_numpy(one.tokens) + 1 for one in SKETCHES]))
    after = model.scale * model.encode_documents(tuned) @ model.encode_texts(texts()).T
    torch.testing.assert_close(model.gain(tuned, texts()), after - before)


def test_other_tokens_take_the_places_of_those_that_are_no_padding() -> None:
    batch = documents(Shape(WIDTH, WIDTH))
    others = torch.arange(1, 1 + int((batch.weights > 0).sum()))[:, None].expand(-1, WIDTH).float()
    tuned = batch.tuned(others)
    assert tuned.tokens[..., 0].tolist() == [[1, 0, 0], [2, 3, 0], [4, 5, 6], [7, 0, 0], [8, 9, 0]]
    assert tuned.base is batch.tokens


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("buckets", [0, 4096])
def test_documents_and_texts_of_different_spaces_meet_in_that_of_the_texts(pooling: Pooling, buckets: int) -> None:
    shape = Shape(12, 7, buckets=buckets, shared=False, pooling=pooling)
    model = stirred(shape)
    assert model.encode_documents(documents(shape)).shape == (5, 7)
    gain = model.gain(documents(shape), texts(7))
    cosines = model.encode_documents(documents(shape)) @ model.encode_texts(texts(7)).T
    torch.testing.assert_close(gain, model.scale * cosines)


def test_a_shared_space_has_one_width() -> None:
    with pytest.raises(ValueError, match="one width, not 12 and 7"):
        VisionLanguageAlignment(Shape(12, 7))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_whatever_is_encoded_has_length_one(pooling: Pooling) -> None:
    shape = Shape(WIDTH, WIDTH, pooling=pooling)
    model = stirred(shape)
    for encoded in (model.encode_documents(documents(shape)), model.encode_texts(texts())):
        torch.testing.assert_close(encoded.norm(dim=1), torch.ones(len(encoded)))


def test_an_untrained_adapter_leaves_texts_as_they_are() -> None:
    model = VisionLanguageAlignment(Shape(WIDTH, WIDTH))
    torch.testing.assert_close(model.encode_texts(texts()), nn.functional.normalize(texts()))


@pytest.mark.parametrize(
    ("log_scale", "scale", "moves"),
    [(math.log(START), START, True), (2.0, math.exp(2), True), (-3.0, 1, False), (9.0, LARGEST, False)],
)
def test_the_scale_stays_within_its_bounds_and_learns_between_them(
    log_scale: float, scale: float, moves: bool
) -> None:
    model = VisionLanguageAlignment(Shape(WIDTH, WIDTH))
    with torch.no_grad():
        model.log_scale.fill_(log_scale)
    assert model.scale.item() == pytest.approx(scale, rel=1e-6)
    model.scale.backward()
    assert model.log_scale.grad is not None
    assert bool(model.log_scale.grad) is moves


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_document_is_the_same_alone_and_beside_longer_ones(pooling: Pooling) -> None:
    shape = Shape(WIDTH, WIDTH, pooling=pooling)
    model = stirred(shape)
    own = [sketch(pages, seed=pages) for pages in (1, 4, 2)]
    together = model.gain(Documents.of(own, shape), texts())
    for row, one in enumerate(own):
        torch.testing.assert_close(together[row], model.gain(Documents.of([one], shape), texts())[0])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_what_stands_in_padding_changes_nothing(pooling: Pooling) -> None:
    shape = Shape(WIDTH, WIDTH, pooling=pooling)
    model, batch = stirred(shape), documents(shape)
    assert (batch.weights == 0).any()
    noisy = torch.where(batch.weights[..., None] == 0, torch.full_like(batch.tokens, 7.0), batch.tokens)
    torch.testing.assert_close(model.gain(replace(batch, tokens=noisy), texts()), model.gain(batch, texts()))


def test_documents_without_words_are_encoded_too() -> None:
    shape = Shape(WIDTH, WIDTH)
    empty = replace(sketch(), places=np.zeros(0, np.int64), counts=np.zeros(0, np.float32))
    model = stirred(shape)
    silent = model.encode_documents(Documents.of([empty, empty], shape))
    torch.testing.assert_close(silent[0], silent[1])
    torch.testing.assert_close(silent[0], model.encode_documents(Documents.of([sketch(seed=3), empty], shape))[1])


def test_a_batch_of_bags_is_projected_as_each_would_be_by_itself() -> None:
    own = [sketch(seed=seed) for seed in range(3)]
    table = torch.randn(4096, 5)
    expected = torch.stack([torch.from_numpy(one.bag()) @ table for one in own])
    torch.testing.assert_close(Documents.of(own, Shape(WIDTH, WIDTH)).bags.projected(table), expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_each_parameter_is_decayed_or_not_and_scale_biases_norms_and_queries_are_not(pooling: Pooling) -> None:
    model = VisionLanguageAlignment(Shape(WIDTH, WIDTH, pooling=pooling))
    decayed, others = ([id(parameter) for parameter in part] for part in model.decayed())
    assert sorted([*decayed, *others]) == sorted(id(parameter) for parameter in model.parameters())
    spared = {name for name, parameter in model.named_parameters() if id(parameter) in others}
    named = ("log_scale", "pool.query")
    assert spared == {
        name for name, _ in model.named_parameters() if name.endswith("bias") or "norm" in name or name in named
    }
    assert id(model.words) in decayed


def test_attention_tells_apart_what_has_one_mean() -> None:
    shape = Shape(8, 2, buckets=0, shared=False, pooling="cross_attention")
    one, other = np.eye(8, dtype=np.float32)[:2]
    halves = np.full(2, 0.5, np.float32)
    none = (np.zeros(0, np.int64), np.zeros(0, np.float32))
    batch = Documents.of([Sketch(np.stack([token, -token]), halves, *none) for token in (one, other)], shape)

    def right(pooling: Pooling) -> bool:
        torch.manual_seed(2)
        model = VisionLanguageAlignment(replace(shape, pooling=pooling))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(25):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model.gain(batch, torch.eye(2)), torch.arange(2)).backward()
            optimizer.step()
        return model.gain(batch, torch.eye(2)).argmax(1).tolist() == [0, 1]

    assert right("cross_attention")
    assert not right("mean")


# What a checkpoint holds.

CLASSIFIER = classifier_of(described(["bill", "card", "deed", "note"]))
LABELLED = ("bill", "note")
EXAMPLES = [example for label in LABELLED for example in documents_of(label, 6)]


def learned(pooling: Pooling = "mean") -> Learned:
    familiarity = Familiarity.fit(
        [sketch_of(example.pages) for example in EXAMPLES], [LABELLED.index(example.label) for example in EXAMPLES]
    )
    return Learned(stirred(Shape(256, 256, pooling=pooling)), frozenset(LABELLED), familiarity, 1.7)


def through_a_file(one: Learned, path: Path, **changed: Any) -> Learned:
    checkpoints.write(path, one.tensors(), {**one.about(), **changed})
    return Learned.restore(*checkpoints.read(path))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_checkpoint_read_again_decides_alike_to_the_last_bit(pooling: Pooling, tmp_path: Path) -> None:
    # What is written is rounded: compare what was read with what is read of it when it is written again.
    first = through_a_file(learned(pooling), tmp_path / "a")
    second = through_a_file(first, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (first.labelled, first.temperature) == (second.labelled, second.temperature) == (frozenset(LABELLED), 1.7)
    for one, other in zip(adjusted(first), adjusted(second), strict=True):
        np.testing.assert_array_equal(one, other)


def bound(one: Learned) -> Aligned:
    return one.bind(CLASSIFIER.names, CLASSIFIER.class_vectors)


def adjusted(one: Learned) -> list[Logits]:
    aligned = bound(one)
    return [aligned.adjust(CLASSIFIER.logits([example.pages])[0], [example.pages])[0] for example in EXAMPLES]


def test_a_restored_model_is_the_one_that_was_kept(tmp_path: Path) -> None:
    before = learned("cross_attention")
    after = through_a_file(before, tmp_path / "a")
    assert after.model.shape == before.model.shape
    assert not after.model.training
    for name, tensor in before.model.state_dict().items():
        torch.testing.assert_close(after.model.state_dict()[name], tensor, rtol=0, atol=0)
    for page in (page_of("bill", 50), page_of("deed", 50)):
        familiar = [one.familiarity.of([sketch_of([page])])[0] for one in (before, after)]
        assert familiar[0] == pytest.approx(familiar[1], abs=2e-3)


@pytest.mark.parametrize(
    "changed",
    [
        {"alignment": "0"},
        {"shape": {"document_width": 128, "text_width": 128}},
        {"shape": {"document_width": 256, "text_width": 128}},
        {"shape": {"document_width": 256, "text_width": 256, "depth": 2}},
        {"shape": {"document_width": 256, "text_width": 256, "pooling": "cross_attention"}},
        {"shape": None},
        {"familiarity": {"steepness": 1.0}},
        {"temperature": "warm"},
        {"temperature": 0},
        {"temperature": float("nan")},
    ],
)
def test_a_checkpoint_of_another_version_or_shape_is_refused(changed: dict[str, Any]) -> None:
    one = learned()
    with pytest.raises(ModelFailure) as caught:
        Learned.restore(one.tensors(), {**one.about(), **changed})
    assert caught.value.code == "checkpoint_unusable"


def with_blocks() -> Learned:
    return replace(learned(), blocks=Turning().state_dict())


def test_blocks_are_kept_under_a_key_of_their_own(tmp_path: Path) -> None:
    after = through_a_file(with_blocks(), tmp_path / "a")
    assert after.key == with_blocks().key
    assert all(torch.equal(tensor, with_blocks().blocks[name]) for name, tensor in after.blocks.items())
    other = Turning()
    nn.init.ones_(other.turn.bias)
    assert len({learned().key, after.key, replace(learned(), blocks=other.state_dict()).key}) == 3
    with pytest.raises(ModelFailure, match="blocks"):
        Learned.restore({**after.tensors(), "blocks.turn.bias": other.turn.bias}, after.about())


def test_pages_have_to_be_seen_by_the_blocks_of_the_checkpoint() -> None:
    one, page = with_blocks(), page_of("bill", 50)
    logits = CLASSIFIER.logits([[page]])[0]
    assert one.key is not None
    with pytest.raises(ModelFailure, match="not_tuned"):
        bound(one).adjust(logits, [[page]])
    same, other = (bound(one).adjust(logits, [[page.with_tuned(one.key, sign * page.vector)]]) for sign in (1, -1))
    np.testing.assert_allclose(same, bound(learned()).adjust(logits, [[page]]), rtol=1e-5)
    assert np.abs(same - other).max() > 0.1


@pytest.mark.parametrize("name", ["model.words", "familiarity.anchors"])
def test_a_checkpoint_whose_numbers_are_none_is_refused(name: str) -> None:
    one = learned()
    tensors = one.tensors()
    spoilt = tensors[name].clone()
    spoilt.view(-1)[0] = float("nan")
    with pytest.raises(ModelFailure, match="checkpoint_unusable"):
        Learned.restore({**tensors, name: spoilt}, one.about())


@pytest.mark.parametrize("name", ["model.words", "familiarity.anchors", "model.log_scale"])
def test_a_checkpoint_that_lacks_a_tensor_is_refused(name: str) -> None:
    one = learned()
    tensors = {other: tensor for other, tensor in one.tensors().items() if other != name}
    with pytest.raises(ModelFailure, match="checkpoint_unusable"):
        Learned.restore(tensors, one.about())


def test_a_checkpoint_that_says_too_little_is_refused() -> None:
    one = learned()
    for name in one.about():
        with pytest.raises(ModelFailure, match="checkpoint_unusable"):
            Learned.restore(one.tensors(), {other: value for other, value in one.about().items() if other != name})


@pytest.mark.parametrize("pooling", POOLINGS)
def test_many_threads_bind_and_adjust_to_the_same_numbers(pooling: Pooling) -> None:
    one = learned(pooling)
    alone = [logits.tolist() for logits in adjusted(one)]
    shared = bound(one)

    def work(number: int) -> list[list[float]]:
        own = shared if number % 2 else bound(one)
        return [
            own.adjust(CLASSIFIER.logits([example.pages])[0], [example.pages])[0].tolist() for example in EXAMPLES
        ]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(16))) == [alone] * 16


def test_many_documents_are_adjusted_as_each_is_alone() -> None:
    one = learned()
    documents = [*(example.pages for example in EXAMPLES), EXAMPLES[0].pages + EXAMPLES[1].pages, EXAMPLES[2].pages]
    alone = [bound(one).adjust(CLASSIFIER.logits([pages])[0], [pages])[0] for pages in documents]
    together = bound(one).adjust(CLASSIFIER.logits(documents)[0], documents)
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_only_classes_with_labels_are_adjusted() -> None:
    (before,), _ = CLASSIFIER.logits([EXAMPLES[0].pages])
    after = adjusted(learned())[0]
    assert [name for name, old, new in zip(CLASSIFIER.names, before, after, strict=True) if old != new] == [*LABELLED]


def test_classes_that_the_checkpoint_never_saw_are_served_as_without_it() -> None:
    classifier = classifier_of(described(["card", "deed"]))
    plain = classifier.chances(EXAMPLES[0].pages)
    aligned = replace(learned(), temperature=1.0).bind(classifier.names, classifier.class_vectors)
    np.testing.assert_array_equal(classifier.with_learned([aligned]).chances(EXAMPLES[0].pages)[0], plain[0])


# Settling.

LOGITS = RANDOM.normal(0, 3, (6, 5))
GAIN = RANDOM.normal(0, 3, (6, 5))
SEEN = np.array([True, False, True, True, False])


@pytest.mark.parametrize("familiar", [0.0, 0.3, 1.0])
def test_among_labelled_classes_what_was_learned_decides(familiar: float) -> None:
    settled = settle(LOGITS, GAIN, SEEN, np.full(6, familiar))
    learned_logits = (LOGITS + GAIN)[:, SEEN]
    differences = settled[:, SEEN] - learned_logits
    np.testing.assert_allclose(differences, np.repeat(differences[:, :1], 3, axis=1))
    np.testing.assert_array_equal(settled[:, ~SEEN], LOGITS[:, ~SEEN])


def test_of_an_unfamiliar_document_the_best_labelled_class_stands_where_it_stood() -> None:
    settled = settle(LOGITS, GAIN, SEEN, np.zeros(6))
    np.testing.assert_allclose(settled[:, SEEN].max(axis=1), LOGITS[:, SEEN].max(axis=1))


def test_of_a_familiar_document_all_that_was_learned_counts() -> None:
    np.testing.assert_allclose(settle(LOGITS, GAIN, SEEN, np.ones(6))[:, SEEN], (LOGITS + GAIN)[:, SEEN])


def test_half_familiar_is_half_way_between() -> None:
    none, half, whole = (settle(LOGITS, GAIN, SEEN, np.full(6, familiar)) for familiar in (0, 0.5, 1))
    np.testing.assert_allclose(half, (none + whole) / 2)


def test_a_batch_is_settled_as_each_document_would_be() -> None:
    familiar = RANDOM.uniform(size=6)
    batch = settle(LOGITS, GAIN, SEEN, familiar)
    for row in range(6):
        single = settle(LOGITS[row], GAIN[row], SEEN, float(familiar[row]))
        np.testing.assert_array_equal(single, batch[row])


def test_what_is_settled_is_a_copy() -> None:
    kept = LOGITS.copy()
    nobody = settle(LOGITS, GAIN, np.zeros(5, dtype=bool), np.ones(6))
    np.testing.assert_array_equal(nobody, LOGITS)
    assert nobody is not LOGITS
    settle(LOGITS, GAIN, SEEN, np.ones(6))
    np.testing.assert_array_equal(LOGITS, kept)
