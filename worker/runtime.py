"""What one process holds while it serves: the model, the readers, the database, the classes."""

import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog

from core.answer import Answerer
from core.backends import Backend, EncodePages, make_backend
from core.errors import RejectedInput
from core.features import FEATURES
from core.reading import READER, Reader
from core.settings import Settings
from db.session import make_engine
from worker.batcher import Batcher
from worker.catalogue import Catalogue
from worker.text_vectors import TextVectors
from worker.turn import Turn

if TYPE_CHECKING:
    from torch import Tensor

log = structlog.get_logger()


def encoder_of(backend: Backend) -> str:
    """Names all that features depend on: model, reader and code. Features of another encoder are never mixed in."""
    return f"{backend.fingerprint} {READER} {FEATURES}"


def reader_of(answerer: Answerer) -> str:
    """Names all that answers depend on: model, reader and code. Those of another reader are asked for anew."""
    return f"{answerer.fingerprint} {READER}"


class Runtime:
    """Loads the model once; everything in it may be used by many task threads at a time.

    `encoder` names all that features depend on, and `answering` all that answers do, model, reader and code: what is
    stored of another one is never mixed in. `items` are the threads on which the documents of one message are worked
    on side by side. `stopping` says whether the node was told to stop, for work that takes long. `turn` is
    whose the device is; one that `trains` never takes it from those that serve. `suspects` is held by the one job at
    work that may have killed nodes.
    """

    def __init__(
        self,
        settings: Settings,
        node: str,
        stopping: Callable[[], bool] = lambda: False,
        *,
        trains: bool = False,
    ) -> None:
        if settings.database.url is None:
            raise ValueError("settings.database.url is not set: locate(settings) fills it in")
        self.settings = settings
        self.node = node
        self.stopping = stopping
        self.engine = make_engine(
            settings.database.url.get_secret_value(),
            statement_timeout=settings.database.statement_timeout,
            pool_size=settings.node.concurrency,
        )
        self.backend = make_backend(settings.model)
        self.backend.load(settings.model.device)
        self.encoder = encoder_of(self.backend)
        self.answerer = self.backend.answerer(settings.asking)
        self.answering = reader_of(self.answerer)
        self.reader = Reader(settings.reading, settings.documents)
        self.suspects = threading.Lock()
        self.turn = Turn(settings.data_dir, self.backend.device)
        self.device = Batcher(
            max_items=settings.model.max_batch,
            max_weight=settings.model.max_tiles,
            on_processor=self.backend.device == "cpu",
            on_death=_stop_this_node,
            on_busy=(lambda _: None) if trains else self.turn.serve,
        )
        self.encode_texts = TextVectors(
            self.engine,
            self.backend.fingerprint,
            lambda texts: self.device.call(lambda: self.backend.encode_texts(texts)),
        )
        self.catalogue = Catalogue(
            self.engine,
            lambda class_set: self.backend.zero_shot(class_set, self.encode_texts),
            self.encoder,
            settings.checkpoints,
            settings.node.class_refresh,
            self._tuned,
        )
        self._warm_up()
        self.items = ThreadPoolExecutor(settings.node.concurrency, thread_name_prefix="item")
        log.info("model loaded", encoder=self.encoder, device=self.backend.device)

    def _warm_up(self) -> None:
        # Before the node takes work, so that the first task does not wait for it.
        class_set = self.settings.deciding.class_set
        try:
            self.catalogue.published(class_set)
        except RejectedInput:
            log.warning("the default class set is not published yet", class_set=class_set)

    def _tuned(self, blocks: "Mapping[str, Tensor]") -> EncodePages:
        return self.device.call(lambda: self.backend.tuned(blocks))

    def close(self) -> None:
        """Finish the device's work and stop the reading processes."""
        self.items.shutdown(cancel_futures=True)
        self.device.close()
        self.turn.close()
        self.reader.close()
        self.engine.dispose()


def _stop_this_node() -> None:
    # Without its device thread the node can do nothing: it ends, and whoever supervises it starts a new one.
    os.kill(os.getpid(), signal.SIGTERM)
