"""The last blocks of the real encoder, which learn."""

import copy
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from core import checkpoints
from core.alignment import Learned, Shape
from core.backends import Backend, Vectors, make_backend
from core.class_set import ClassSet
from core.classify import Classifier
from core.descriptions import Descriptions
from core.errors import ModelFailure, RejectedInput
from core.features import features_of, page_vector
from core.page import Line, Page
from core.settings import Model, Training
from core.training.corpus import Corpus
from core.training.dataset import Dataset, Example
from core.training.lesson import Subject, learn
from core.training.loop import Course, run
from core.training.report import measure

WIDTH = 384
TEXTS = {
    "freight": ["parcel weight 4 kg", "crate of nine pallets", "pallet on a lorry", "parcel and crate", "lorry load"],
    "ward": ["nurse on duty tonight", "doctor and patient", "patient in bed 4", "a ward of nine", "nurse called"],
}
CLASSES = ClassSet.one_off({name: f"what the {name} desk does" for name in TEXTS})
SETTINGS = Training(unfreeze_last_blocks=1, epochs=3, batch=4, learning_rate=0.01)


def strange(texts: Sequence[str]) -> Vectors:
    """Texts that nobody told the documents' encoder of: quickly made, and much is to be learned."""
    rows = np.stack([np.random.default_rng(zlib.crc32(text.encode())).normal(size=WIDTH) for text in texts])
    unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


CLASSIFIER = Classifier(Descriptions.build(CLASSES, strange))


@pytest.fixture(scope="module")
def backend() -> Backend:
    loaded = make_backend(Model(backend="ocr_text"))
    loaded.load("cpu")
    torch.set_num_threads(1)
    return loaded


def page(text: str, lines: int = 1) -> Page:
    return Page(1, 1000, 1400, "ocr", tuple(Line(text, (50, 40 * y, 900, 40 * y + 20)) for y in range(lines)))


def example(backend: Backend, label: str, number: int) -> Example:
    pages = [page(text) for text in (TEXTS[label][number], f"{label} {number}")]
    prepared = [backend.prepare(one) for one in pages]
    features = [features_of(*one) for one in zip(pages, backend.encode_documents(prepared), strict=True)]
    return Example(f"{label} {number}", label, tuple(features), prepared=tuple(prepared))


@pytest.fixture(scope="module")
def examples(backend: Backend) -> list[Example]:
    return [example(backend, label, number) for label in TEXTS for number in range(5)]


@pytest.fixture(scope="module")
def corpus(examples: list[Example]) -> Corpus:
    return Corpus.build(examples, CLASSES, CLASSIFIER, strange, 4)


def course_of(backend: Backend) -> Course:
    return Course.begin("training", Shape(WIDTH, WIDTH), SETTINGS, "cpu", backend.trainable(1))


def ignore(_: Course) -> None:
    """Save nothing."""


def go_on(corpus: Corpus, course: Course, after_epoch: Callable[[Course], None] = ignore) -> Course:
    texts = torch.from_numpy(CLASSIFIER.class_vectors.copy())
    run(course, corpus, np.arange(len(corpus)), texts, SETTINGS, SETTINGS.epochs, None, lambda: None, after_epoch)
    return course


@pytest.mark.parametrize("blocks", [1, 6])
def test_at_the_start_pages_are_what_the_encoder_makes_of_them(backend: Backend, blocks: int) -> None:
    prepared = [backend.prepare(page(f"amount due {lines} ", lines)) for lines in (60, 1, 9)]
    vectors = backend.trainable(blocks)(prepared)
    assert vectors.requires_grad
    expected = [page_vector(parts) for parts in backend.encode_documents(prepared)]
    np.testing.assert_allclose(vectors.detach(), np.stack(expected), atol=5e-3)


def test_what_is_learned_reaches_just_the_last_blocks(backend: Backend) -> None:
    blocks = backend.trainable(2)
    blocks([backend.prepare(page("amount due"))])[0, 0].backward()
    assert [name for name, _ in blocks.named_children()] == ["layers"]
    assert len(blocks.layers) == 2
    for name, parameter in blocks.named_parameters():
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None, name
    model = backend._model  # type: ignore[attr-defined] # what nobody else may touch
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_copy_has_blocks_of_its_own_over_the_same_model(backend: Backend) -> None:
    blocks = backend.trainable(1)
    other = copy.deepcopy(blocks)
    assert other._below is blocks._below
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert not torch.equal(next(other.parameters()), next(blocks.parameters()))


def test_learning_changes_the_blocks_and_nothing_of_the_encoder(backend: Backend, corpus: Corpus) -> None:
    before = backend.encode_texts(["amount due"])
    course = go_on(corpus, course_of(backend))
    assert course.history[-1].loss < course.history[0].loss
    now = course.model.state_dict()
    blocks = [name for name in course.start if name.startswith("blocks.")]
    assert len(blocks) == 16
    assert not any(torch.equal(now[name], course.start[name]) for name in blocks)
    np.testing.assert_array_equal(backend.encode_texts(["amount due"]), before)


class Interrupted(Exception):
    """Stands for whatever ends a run."""


def test_interrupted_or_not_the_same_blocks_come_out(backend: Backend, corpus: Corpus, tmp_path: Path) -> None:
    def interrupt(course: Course) -> None:
        checkpoints.write(tmp_path / "state", course.tensors(), course.about())
        raise Interrupted

    with pytest.raises(Interrupted):
        go_on(corpus, course_of(backend), interrupt)
    resumed = course_of(backend)
    resumed.restore(*checkpoints.read(tmp_path / "state"))
    assert resumed.epoch == 1
    go_on(corpus, resumed)
    course = go_on(corpus, course_of(backend))
    for name, tensor in course.tensors().items():
        assert torch.equal(tensor, resumed.tensors()[name]), name


def test_a_checkpoint_serves_what_the_lesson_measured(
    backend: Backend, examples: list[Example], tmp_path: Path
) -> None:
    subject = Subject(CLASSES, 1, CLASSIFIER, CLASSIFIER, strange, backend.fingerprint, (), backend.trainable)
    test = (examples[4], examples[9])
    dataset = Dataset(tuple(one for one in examples if one not in test), (), test)
    lesson = learn(
        dataset, subject, SETTINGS, skipped={}, device="cpu", state=tmp_path / "state", report=lambda _: None
    )
    checkpoints.write(tmp_path / "checkpoint", lesson.learned.tensors(), lesson.learned.about())
    restored = Learned.restore(*checkpoints.read(tmp_path / "checkpoint"))
    assert restored.key == lesson.learned.key is not None
    served = CLASSIFIER.with_learned([restored.bind(CLASSIFIER.names, CLASSIFIER.class_vectors)])
    with pytest.raises(ModelFailure, match="not_tuned"):
        served.chances(test[0].pages)
    encode = backend.tuned(restored.blocks)
    chances = []
    for one in test:
        vectors = encode(one.prepared)
        pages = [page.with_tuned(restored.key, vector) for page, vector in zip(one.pages, vectors, strict=True)]
        assert not np.allclose(pages[0].tuned_by(restored.key), pages[0].vector, atol=1e-3)
        chances.append(served.chances(pages)[0])
    expected = measure([one.label for one in test], served.names, np.array(chances))
    assert expected.confusion == lesson.report.after.confusion
    for one, other in zip(expected.reliability, lesson.report.after.reliability, strict=True):
        assert one.confidence == pytest.approx(other.confidence, abs=1e-3)


@pytest.mark.parametrize("blocks", [0, 7])
def test_blocks_that_the_encoder_has_not_are_refused_by_name(backend: Backend, blocks: int) -> None:
    with pytest.raises(RejectedInput, match="nothing_to_unfreeze"):
        backend.trainable(blocks)


def test_blocks_of_another_encoder_are_refused(backend: Backend) -> None:
    state = backend.trainable(1).state_dict()
    name = "layers.0.output.dense.bias"
    for changed in ({}, {"other": state[name]}, {**state, name: state[name][:10]}):
        with pytest.raises(ModelFailure, match="checkpoint_unusable"):
            backend.tuned(changed)
