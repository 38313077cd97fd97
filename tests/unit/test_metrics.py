"""Figures for Prometheus: what is counted under which labels, and what never becomes a label."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from core.contract import ClassifyResult
from worker import metrics


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def result(**changes: Any) -> ClassifyResult:
    values: dict[str, Any] = {
        "task_id": "1",
        "document": {"document_id": "0" * 64, "media_type": "application/pdf", "page_count": 1},
        "status": "classified",
        "reasons": [],
        "prediction": "receipt",
        "confidence": 0.9,
        "probabilities": {"receipt": 0.9},
        "pages": [],
        "class_set": "figures",
        "class_set_version": 1,
        "backend": "fake",
        "checkpoint": None,
        "cached": False,
        "seconds": {},
        **changes,
    }
    return ClassifyResult(**values)


def test_a_job_is_counted_by_its_outcome_its_stages_and_what_it_said() -> None:
    metrics.job_ended("counted", "succeeded", {"read": 0.3}, result())
    metrics.job_ended("counted", "succeeded", {"read": 0.2}, result(status="needs_review", prediction=None))
    metrics.job_ended("counted", "rejected")
    assert value("docintake_jobs_total", task="counted", outcome="succeeded") == 2
    assert value("docintake_jobs_total", task="counted", outcome="rejected") == 1
    assert value("docintake_stage_seconds_sum", task="counted", stage="read") == pytest.approx(0.5)
    assert value("docintake_classified_total", class_set="figures", status="needs_review") == 1
    assert value("docintake_class_predictions_total", class_set="figures", prediction="receipt") == 1
    assert value("docintake_class_predictions_total", class_set="figures", prediction="none") == 1


def test_what_classes_are_called_that_came_along_is_told_nobody() -> None:
    labels = {"class_set": "one-off", "status": "classified"}
    before = value("docintake_classified_total", **labels) or 0
    metrics.job_ended("counted", "succeeded", {}, result(class_set=None, prediction="secret project"))
    assert value("docintake_classified_total", **labels) == before + 1
    assert b"secret project" not in generate_latest(REGISTRY)


def test_without_a_gpu_there_is_no_device_memory_and_with_one_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = CollectorRegistry()
    registry.register(metrics.DeviceMemory())
    monkeypatch.setitem(sys.modules, "torch", None)
    assert b"docintake" not in generate_latest(registry)
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        memory_allocated=lambda: 1,
        memory_reserved=lambda: 2,
        get_device_properties=lambda _: SimpleNamespace(total_memory=3),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    told = generate_latest(registry).decode()
    for kind, size in (("allocated", 1), ("reserved", 2), ("total", 3)):
        assert f'docintake_device_memory_bytes{{kind="{kind}"}} {size}.0' in told
