"""What a class set did over a time, in figures: what came in, what it was taken for, what people said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from core.errors import RejectedInput
from db import queries
from db.models import JobState
from db.queries import CONFIDENCE_STEPS, ClassifiedGroup, JobGroup, StageSeconds, Waits
from db.session import transaction

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from core.settings import Settings

NOTHING: Final = "none"
"""Stands for documents that were taken for no class: nothing is on their pages."""
_NEWEST: Final = 20_000
"""Jobs whose stages are looked at: more would cost time and tell nothing else."""
_DAYS_BY_DAY: Final = 120
"""A longer time is told by the week."""


@dataclass(frozen=True, slots=True)
class Period:
    """A day or a week: documents that were classified, those of them sent to review, their mean confidence (none
    without documents), and jobs that were rejected and that failed, of every kind and class set.
    """

    start: datetime
    documents: int
    to_review: int
    confidence: float | None
    rejected: int
    failed: int


@dataclass(frozen=True, slots=True)
class ClassShare:
    """One class: documents that were taken for it, how many of those went to review, and its share in each period,
    none where there were no documents.
    """

    name: str
    documents: int
    to_review: int
    shares: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a least confidence would do: the share of all documents that it sends to review, and the share of the
    known errors among them; none where no error is known.
    """

    confidence: float
    to_review: float
    errors_caught: float | None


@dataclass(frozen=True, slots=True)
class Labelled:
    """What people said of the documents that they looked at: how many were right and wrong, of a confidence step."""

    step: int
    right: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Made:
    """A checkpoint: when it was made, from how many labels, how good it is, and since when it serves, if ever."""

    id: int
    made: datetime
    labels: int
    before: float | None
    after: float | None
    state: str
    promoted: datetime | None
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything; `period` is what its figures are told by. Shares and confidences are in [0, 1]."""

    class_set: str
    version: int | None
    since: datetime
    until: datetime
    period: Literal["day", "week"]
    threshold: float
    periods: Sequence[Period]
    classes: Sequence[ClassShare]
    reasons: dict[str, int]
    confidences: Sequence[int]
    labelled: Sequence[Labelled]
    thresholds: Sequence[Threshold]
    waits: Sequence[Waits]
    stages: Sequence[StageSeconds]
    errors: Sequence[tuple[JobState, str, int]]
    checkpoints: Sequence[Made]

    @property
    def documents(self) -> int:
        return sum(period.documents for period in self.periods)

    @property
    def to_review(self) -> int:
        return sum(period.to_review for period in self.periods)


def since_of(said: str, now: datetime) -> datetime:
    """`30d`, `12h` or `2026-11-01` as a moment in UTC. Raises RejectedInput(`bad_arguments`)."""
    units = {"d": timedelta(days=1), "h": timedelta(hours=1)}
    try:
        if said[-1:] in units:
            found = now - int(said[:-1]) * units[said[-1]]
        else:
            found = datetime.fromisoformat(said).replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise RejectedInput("bad_arguments", f"{said!r} is no such time: say 30d, 12h or 2026-11-01") from error
    if found >= now:
        raise RejectedInput("bad_arguments", f"{said!r} has not come yet")
    return found


def gather(engine: "Engine", settings: "Settings", class_set: str, since: datetime, until: datetime) -> Report:
    """The figures of a class set from then to now. Raises RejectedInput(`unknown_class_set`)."""
    period: Literal["day", "week"] = "day" if until - since <= timedelta(days=_DAYS_BY_DAY) else "week"
    with transaction(engine) as connection:
        sets = {item.name: item.published for item in queries.list_class_sets(connection)}
        if class_set not in sets:
            raise RejectedInput(
                "unknown_class_set", f"there is no class set {class_set!r}; `docintake classes list` shows them"
            )
        groups = queries.classified_groups(connection, class_set, since, period)
        corrected = queries.corrected_groups(connection, class_set, since)
        jobs = queries.job_groups(connection, since, period)
        checkpoints = queries.list_checkpoints(connection, class_set)
        promotions = queries.list_promotions(connection, class_set)
        starts = _starts(since, until, period)
        confidences = _by_step(groups)
        labelled = [
            Labelled(step, _counted(corrected, step, False), _counted(corrected, step, True))
            for step in range(CONFIDENCE_STEPS)
        ]
        return Report(
            class_set=class_set,
            version=sets[class_set],
            since=since,
            until=until,
            period=period,
            threshold=settings.deciding.thresholds_of(class_set).confidence,
            periods=[_period(start, groups, jobs) for start in starts],
            classes=_classes(starts, groups),
            reasons=queries.review_reasons(connection, class_set, since),
            confidences=confidences,
            labelled=labelled,
            thresholds=_thresholds(confidences, [item.wrong for item in labelled]),
            waits=queries.waits(connection, since, period),
            stages=queries.stage_seconds(connection, since, _NEWEST),
            errors=queries.error_codes(connection, since),
            checkpoints=[_made(item, promotions) for item in reversed(checkpoints)],
        )


def _starts(since: datetime, until: datetime, period: str) -> list[datetime]:
    first = since.replace(hour=0, minute=0, second=0, microsecond=0)
    step = timedelta(days=1)
    if period == "week":
        first, step = first - first.weekday() * step, 7 * step
    starts = [first]
    while starts[-1] + step <= until:
        starts.append(starts[-1] + step)
    return starts


def _period(start: datetime, groups: Sequence[ClassifiedGroup], jobs: Sequence[JobGroup]) -> Period:
    own = [group for group in groups if group.period == start]
    documents = sum(group.count for group in own)
    ended = {
        state: sum(job.count for job in jobs if job.period == start and job.state == state)
        for state in ("rejected", "failed")
    }
    return Period(
        start=start,
        documents=documents,
        to_review=_to_review(own),
        confidence=sum(group.count * group.confidence for group in own) / documents if documents else None,
        rejected=ended["rejected"],
        failed=ended["failed"],
    )


def _classes(starts: Sequence[datetime], groups: Sequence[ClassifiedGroup]) -> list[ClassShare]:
    """The most frequent one first."""
    totals = dict.fromkeys(starts, 0)
    for group in groups:
        totals[group.period] += group.count
    shares = []
    for name in {group.prediction for group in groups}:
        own = [group for group in groups if group.prediction == name]
        counts = dict.fromkeys(starts, 0)
        for group in own:
            counts[group.period] += group.count
        shares.append(
            ClassShare(
                name=name or NOTHING,
                documents=sum(counts.values()),
                to_review=_to_review(own),
                shares=[counts[start] / totals[start] if totals[start] else None for start in starts],
            )
        )
    return sorted(shares, key=lambda share: (-share.documents, share.name))


def _by_step(groups: Sequence[ClassifiedGroup]) -> list[int]:
    counts = [0] * CONFIDENCE_STEPS
    for group in groups:
        counts[group.step] += group.count
    return counts


def _thresholds(confidences: Sequence[int], wrong: Sequence[int]) -> list[Threshold]:
    documents, errors = sum(confidences), sum(wrong)
    if not documents:
        return []
    return [
        Threshold(
            confidence=step / CONFIDENCE_STEPS,
            to_review=sum(confidences[:step]) / documents,
            errors_caught=sum(wrong[:step]) / errors if errors else None,
        )
        for step in range(CONFIDENCE_STEPS + 1)
    ]


def _made(item: queries.Checkpoint, promotions: Sequence[queries.Promotion]) -> Made:
    since = [promotion.created_at for promotion in promotions if item.id in promotion.checkpoints]
    return Made(
        id=item.id,
        made=item.created_at,
        labels=item.labels,
        before=item.metrics.get("macro_accuracy_before"),
        after=item.metrics.get("macro_accuracy_after"),
        state=item.state,
        promoted=min(since, default=None),
        reasons=item.reasons,
    )


def _counted(groups: Sequence[queries.CorrectedGroup], step: int, is_wrong: bool) -> int:
    return sum(group.count for group in groups if (group.step, group.is_wrong) == (step, is_wrong))


def _to_review(groups: Sequence[ClassifiedGroup]) -> int:
    return sum(group.count for group in groups if group.status == "needs_review")
