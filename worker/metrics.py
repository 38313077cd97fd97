"""Figures about a node, for Prometheus to collect: `worker.health` serves them."""

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.contract import RETRAIN, ClassifyResult, Wire

Outcome = Literal["succeeded", "rejected", "failed", "postponed"]
"""How a start of a job ends; one that is postponed is started again."""

ONE_OFF: Final = "one-off"
"""Stands for all classes that requests bring along: what these are called is their callers' own affair."""
NONE: Final = "none"
"""Stands for no class: nothing is on the page."""
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_NO_SECONDS: Final[Mapping[str, float]] = MappingProxyType({})

JOBS: Final = Counter("docintake_jobs_total", "Jobs whose outcome this node has stored.", ["task", "outcome"])
STAGE_SECONDS: Final = Histogram(
    "docintake_stage_seconds",
    "Seconds that a job which succeeded spent in a stage.",
    ["task", "stage"],
    buckets=_SECONDS,
)
CLASSIFIED: Final = Counter(
    "docintake_classified_total",
    "Documents that were classified, and those among them that a person should look at.",
    ["class_set", "status"],
)
PREDICTIONS: Final = Counter(
    "docintake_class_predictions_total",
    "Documents by what they were taken for, by a person's leave or not.",
    ["class_set", "prediction"],
)
CACHE_HITS: Final = Counter(
    "docintake_cache_hits_total", "Pages, features and answers that were known already.", ["what"]
)
CACHE_MISSES: Final = Counter(
    "docintake_cache_misses_total", "Pages, features and answers that had to be made.", ["what"]
)
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
    buckets=_SECONDS,
)
DEVICE_SECONDS: Final = Histogram(
    "docintake_device_seconds",
    "Seconds that a batch took on the device; their sum is how long it was busy.",
    ["queue"],
    buckets=_SECONDS,
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


class _Task:
    """One kind of task's figures, each looked up once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.outcomes: dict[str, Counter] = {outcome: JOBS.labels(name, outcome) for outcome in get_args(Outcome)}
        self._stages: dict[str, Histogram] = {}

    def stage(self, name: str) -> Histogram:
        found = self._stages.get(name)
        if found is None:
            found = self._stages[name] = STAGE_SECONDS.labels(self._name, name)
        return found


@cache
def _task(name: str) -> _Task:
    return _Task(name)


def job_ended(
    task: str, outcome: Outcome, seconds: Mapping[str, float] = _NO_SECONDS, result: Wire | None = None
) -> None:
    """Count a start of a job by how it ended, the `seconds` of each stage, and what a classification said."""
    figures = _task(task)
    figures.outcomes[outcome].inc()
    for stage, value in seconds.items():
        figures.stage(stage).observe(value)
    if isinstance(result, ClassifyResult):
        CLASSIFIED.labels(result.class_set or ONE_OFF, result.status).inc()
        if result.class_set is not None:
            PREDICTIONS.labels(result.class_set, result.prediction or NONE).inc()


class _Kept:
    """One kind of thing that is kept so that it is not made twice."""

    def __init__(self, what: str) -> None:
        self._hits = CACHE_HITS.labels(what)
        self._misses = CACHE_MISSES.labels(what)

    def looked_up(self, *, found: int, missing: int) -> None:
        self._hits.inc(found)
        self._misses.inc(missing)


PAGES: Final = _Kept("pages")
FEATURES: Final = _Kept("features")
ANSWERS: Final = _Kept("answers")


class Runs(Collector):
    """What became of the runs of a trainer, whose children do them: counted by the node itself.

    In plain numbers: a child that is forked while Prometheus asks must not find a lock that nobody will open.
    """

    def __init__(self) -> None:
        self._ended: dict[Outcome, int] = dict.fromkeys(get_args(Outcome), 0)

    def ended(self, outcome: Outcome) -> None:
        self._ended[outcome] += 1

    def collect(self) -> Iterator[Metric]:
        jobs = CounterMetricFamily("docintake_jobs", "Runs of this trainer by outcome.", labels=["task", "outcome"])
        for outcome, count in self._ended.items():
            jobs.add_metric([RETRAIN, outcome], count)
        yield jobs


RUNS: Final = Runs()


class DeviceMemory(Collector):
    """The memory of this process's GPU, where it has one, looked at whenever Prometheus asks."""

    def collect(self) -> Iterator[Metric]:
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_initialized():
            return
        memory = GaugeMetricFamily(
            "docintake_device_memory_bytes",
            "Memory of the device: in use by tensors, held by torch for them, and all that there is.",
            labels=["kind"],
        )
        memory.add_metric(["allocated"], torch.cuda.memory_allocated())
        memory.add_metric(["reserved"], torch.cuda.memory_reserved())
        memory.add_metric(["total"], torch.cuda.get_device_properties(0).total_memory)
        yield memory


def own_registry() -> CollectorRegistry:
    """One with figures about this process, and none of those that its children count for themselves."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry
