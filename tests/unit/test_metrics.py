"""Figures for Prometheus: on a port where the settings name one, and nowhere else."""

import socket
from urllib.request import urlopen

import pytest
from pydantic import ValidationError

from core.errors import RejectedInput
from core.settings import Node, Settings
from worker import metrics


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((metrics.HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def test_figures_are_served_where_the_settings_say() -> None:
    port = free_port()
    metrics.ACTIVE_CHECKPOINT.labels("some set").set(12)
    close = metrics.serve(Settings(node=Node(metrics_port=port)))
    try:
        with urlopen(f"http://{metrics.HOST}:{port}/metrics", timeout=30) as answer:
            assert 'docintake_active_checkpoint{class_set="some set"} 12.0' in answer.read().decode().splitlines()
    finally:
        close()


def test_without_a_port_nothing_is_served() -> None:
    metrics.serve(Settings())()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server((metrics.HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(RejectedInput, match=f"metrics_port_taken: {metrics.HOST}:{port}"):
            metrics.serve(Settings(node=Node(metrics_port=port)))


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(ValidationError, match="metrics_port"):
        Node(metrics_port=port)
