"""Figures about a node, for Prometheus to collect."""

from collections.abc import Callable
from typing import Final

from prometheus_client import Counter, Gauge, start_http_server

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


def serve(settings: Settings) -> Callable[[], None]:
    """Have this process's figures collected, if the settings name a port; returns what ends that.

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

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return close
