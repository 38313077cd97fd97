"""The usual ways to learn classes from a few documents, to compare with. They know no class but those they are shown.

scikit-learn is imported where it is used: nothing else needs it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.evaluation import KnownDocument
from core.sketch import sketch_of

Judgement = tuple[list[str], NDArray[np.float64]]
"""Classes, and (documents, classes) probabilities."""
Rival = Callable[[Sequence[KnownDocument], Sequence[KnownDocument], int], Judgement]
"""Learns from the first documents and judges the others; the number is a seed. All have a page that is not blank."""

FREEDOM: Final = 100.0
"""Inverse strength of the penalty on a regression's weights: of 1, 10, 100 and 1000 the one that suits both best."""


def tf_idf(shots: Sequence[KnownDocument], tested: Sequence[KnownDocument], seed: int) -> Judgement:
    """Logistic regression on the words and pairs of words that were read, rare ones weighing more."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    model = LogisticRegression(C=FREEDOM, max_iter=1000, random_state=seed)
    return _judged(model, shots, words.fit_transform(_texts(shots)), words.transform(_texts(tested)))


def linear_probe(shots: Sequence[KnownDocument], tested: Sequence[KnownDocument], seed: int) -> Judgement:
    """Logistic regression on the encoder's vectors."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=FREEDOM, max_iter=1000, random_state=seed)
    return _judged(model, shots, _vectors(shots), _vectors(tested))


def word_counts(shots: Sequence[KnownDocument], tested: Sequence[KnownDocument], seed: int) -> Judgement:
    """A small perceptron on counts of words and pairs of words, as in paperless-ngx, though without its stemming."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.neural_network import MLPClassifier

    words = CountVectorizer(ngram_range=(1, 2), min_df=0.01)
    model = MLPClassifier(tol=0.01, random_state=seed)
    return _judged(model, shots, words.fit_transform(_texts(shots)), words.transform(_texts(tested)))


RIVALS: Final[dict[str, Rival]] = {"tf_idf": tf_idf, "linear_probe": linear_probe, "word_counts": word_counts}


def _judged(model: Any, shots: Sequence[KnownDocument], known: Any, asked: Any) -> Judgement:
    model.fit(known, [document.truth for document in shots])
    return [str(name) for name in model.classes_], np.asarray(model.predict_proba(asked), dtype=np.float64)


def _texts(documents: Sequence[KnownDocument]) -> list[str]:
    return [document.text for document in documents]


def _vectors(documents: Sequence[KnownDocument]) -> NDArray[np.float64]:
    """A document's pages are joined as for training; as precise as scikit-learn's own counts are."""
    sketches = [sketch_of(document.features) for document in documents]
    return np.stack([sketch.weights @ sketch.tokens for sketch in sketches]).astype(np.float64)
