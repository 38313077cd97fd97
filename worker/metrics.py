"""Figures about a node, for Prometheus to collect."""

from collections.abc import Callable
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, start_http_server
from prometheus_client.registry import Collector

from core.errors import RejectedInput
from core.settings import Settings

HOST: Final = "127.0.0.1"
"""Figures name class sets: who else is to see them puts something in front that asks who they are."""

LOAD_FAILURES: Final = Counter(
    "docintake_checkpoint_load_failures_total",
    "Promotions that this node could not follow, because a checkpoint's file is missing, damaged or unfit.",
    ["class_set"],
)
ACTIVE_CHECKPOINT: Final = Gauge(
    "docintake_active_checkpoint",
    "Checkpoint that this node decides by, of several the newest; 0: none.",
    ["class_set"],
)
BATCH_ITEMS: Final = Histogram(
    "docintake_device_batch_items",
    "Pages or questions that ran together on the device.",
    ["queue"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
DEVICE_WAIT: Final = Histogram(
    "docintake_device_wait_seconds",
    "Seconds that a page or question waited for its batch to begin.",
    ["queue"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
DEVICE_SECONDS: Final = Histogram(
    "docintake_device_seconds",
    "Seconds that a batch took on the device; their sum is how long it was busy.",
    ["queue"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
QUEUED_SECONDS: Final = Histogram(
    "docintake_queued_seconds",
    "Seconds between the sending of a message and its start, where its sender said when it sent it.",
    ["task"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400),
)
OUT_OF_MEMORY: Final = Counter(
    "docintake_device_out_of_memory_total",
    "Batches that did not fit into the device's memory and were halved.",
    ["queue"],
)
DROPPED: Final = Counter(
    "docintake_dropped_messages_total",
    "Messages that this node could make nothing of and dropped: of a task that it does not know, or of none.",
)


class DeviceQueue:
    """The device's figures about one queue, looked up once."""

    def __init__(self, name: str) -> None:
        self.items = BATCH_ITEMS.labels(name)
        self.waited = DEVICE_WAIT.labels(name)
        self.seconds = DEVICE_SECONDS.labels(name)
        self.out_of_memory = OUT_OF_MEMORY.labels(name)


def serve(settings: Settings, *others: Collector) -> Callable[[], None]:
    """Have this process's figures collected, and those of `others`, if the settings name a port; returns what ends
    that.

    Raises RejectedInput(`metrics_port_taken`).
    """
    port = settings.node.metrics_port
    if port is None:
        return lambda: None
    try:
        server, thread = start_http_server(port, HOST)
    except OSError as error:
        raise RejectedInput(
            "metrics_port_taken",
            f"{HOST}:{port} cannot be listened on ({error.strerror}): give each node of this machine a "
            "node.metrics_port of its own",
        ) from error

    for other in others:
        REGISTRY.register(other)

    def close() -> None:
        for other in others:
            REGISTRY.unregister(other)
        server.shutdown()
        server.server_close()
        thread.join()

    return close
