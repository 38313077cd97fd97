"""The model as a command uses it, in its own process."""

from typing import TYPE_CHECKING

from worker.cli.output import errors

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from core.backends import Backend
    from core.class_set import ClassSet
    from core.classify import Classifier
    from core.settings import Settings


def loaded(settings: "Settings") -> "Backend":
    """The backend, loaded; the wait is shown."""
    from core.backends import make_backend

    with errors().status("Loading the model…"):
        backend = make_backend(settings.model)
        backend.load(settings.model.device)
    return backend


def classifier_of(class_set: "ClassSet", engine: "Engine", backend: "Backend") -> "Classifier":
    """As nodes make it, by descriptions alone; what is encoded here, they find done."""
    from core.classify import Classifier
    from worker.text_vectors import TextVectors

    encode_texts = TextVectors(engine, backend.fingerprint, backend.encode_texts)
    return Classifier(backend.zero_shot(class_set, encode_texts))
