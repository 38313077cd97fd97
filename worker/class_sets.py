"""Class sets over their life: imported as drafts, published, rolled back, compared, tried on stored documents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine

from core.class_set import ClassSet, DocumentClass
from core.classify import Classifier, Decision
from core.contract import Reason
from core.errors import RejectedInput
from core.settings import Thresholds
from db import queries
from db.queries import LatestClassification, Version
from db.session import transaction
from worker.history import Deciders, Question

_FIELDS: Final = ("description", "wording", "templates", "captions")


@dataclass(frozen=True, slots=True)
class Turn:
    """What a publication or a rollback did: the version in service now, and the one before it."""

    now: Version
    before: Version | None

    @property
    def changed(self) -> bool:
        return self.before is None or self.before.id != self.now.id


@dataclass(frozen=True, slots=True)
class ClassChange:
    """A class that two versions describe differently: field → what it says in the one and in the other."""

    name: str
    fields: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Difference:
    """What the second of two class sets adds, leaves out and changes; classes by name."""

    added: tuple[DocumentClass, ...]
    removed: tuple[DocumentClass, ...]
    changed: tuple[ClassChange, ...]


class Move(NamedTuple):
    """A stored document that another version puts elsewhere: what it was called last, by which version, and what it
    would be called.

    A tuple: a process sends it to another in a third of the time that a dataclass takes.
    """

    document_id: str
    uri: str | None
    task_id: str
    version: int
    old: str | None
    old_confidence: float
    new: str | None
    confidence: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """What one version says of the documents that a class set has classified.

    `without_features` are the ids of those that no page's features stand for: another model or reader read them.
    """

    version: Version
    unchanged: int
    moved: tuple[Move, ...]
    without_features: tuple[str, ...]

    @property
    def documents(self) -> int:
        return self.unchanged + len(self.moved) + len(self.without_features)


def find(connection: Connection, name: str, number: int | None = None) -> Version:
    """That version of a set; without a number the published one, or the newest where none is published.

    Raises RejectedInput: `unknown_class_set`, `unknown_version`.
    """
    versions = _versions(connection, name)
    if number is not None:
        return _numbered(versions, number)
    return _published(versions) or versions[0]


def find_draft(connection: Connection, name: str) -> Version:
    """The newest draft of a set. Raises RejectedInput(`no_draft`) when what is published is newer than any."""
    return _draft(_versions(connection, name))


def read(connection: Connection, version: Version) -> ClassSet:
    """What a version says."""
    rows = queries.get_descriptions(connection, version.id)
    return ClassSet(
        name=version.class_set,
        classes=tuple(
            DocumentClass(
                name=row.name,
                description=row.description,
                wording=tuple(row.wording),
                templates=tuple(row.templates),
                captions=tuple(row.captions),
            )
            for row in rows
        ),
    )


def import_draft(connection: Connection, class_set: ClassSet) -> tuple[Version, bool]:
    """Keep a set as a draft: (the draft, True), or (the newest version, False) where that says just the same."""
    queries.create_class_set(connection, class_set.name)
    queries.lock_class_set(connection, class_set.name)
    versions = queries.list_versions(connection, class_set.name)
    if versions and versions[0].digest == class_set.digest:
        return versions[0], False
    version_id, number = queries.create_version(connection, class_set.name, class_set.digest)
    queries.add_descriptions(connection, version_id, class_set.classes)
    return find(connection, class_set.name, number), True


def publish(connection: Connection, name: str, number: int | None = None) -> Turn:
    """Put a version into service, by default the newest draft. One that is in service stays there.

    Raises RejectedInput: `unknown_class_set`, `unknown_version`, `no_draft`.
    """
    queries.lock_class_set(connection, name)
    versions = _versions(connection, name)
    return _turn(connection, _draft(versions) if number is None else _numbered(versions, number))


def roll_back(connection: Connection, name: str, to: int | None = None) -> Turn:
    """Put an earlier version back into service: `to`, or the newest one that was in service and is older than the
    present one. Rolling back twice therefore goes back two versions.

    Raises RejectedInput: `unknown_class_set`, `unknown_version`, `never_published`, `nothing_to_roll_back`.
    """
    queries.lock_class_set(connection, name)
    versions = _versions(connection, name)
    if to is not None:
        target = _numbered(versions, to)
        if target.state == "draft":
            raise RejectedInput(
                "never_published",
                f"version {to} of {name!r} was never in service; `docintake classes publish {name} --version {to}` "
                "puts it there",
            )
        return _turn(connection, target)
    current = _published(versions)
    earlier = [item for item in versions if item.state == "retired" and current and item.number < current.number]
    if not earlier:
        retired = [str(item.number) for item in versions if item.state == "retired"]
        raise RejectedInput(
            "nothing_to_roll_back",
            f"no version of {name!r} was in service before "
            + (f"version {current.number}" if current else "now")
            + (f"; name a newer one with --to: {', '.join(retired)}" if retired else ""),
        )
    return _turn(connection, earlier[0])


def compare(old: ClassSet, new: ClassSet) -> Difference:
    """What changed from one set to the other."""
    before, after = ({item.name: item for item in sorted(s.classes, key=lambda c: c.name)} for s in (old, new))
    changes = [
        ClassChange(name, fields)
        for name in before.keys() & after.keys()
        if (fields := _changed_fields(before[name], after[name]))
    ]
    return Difference(
        added=tuple(item for name, item in after.items() if name not in before),
        removed=tuple(item for name, item in before.items() if name not in after),
        changed=tuple(sorted(changes, key=lambda change: change.name)),
    )


def replay(
    deciders: Deciders,
    version: Version,
    classifier: Classifier,
    thresholds: Thresholds,
    encoder: str,
    show: Callable[[int, int], None] = lambda _done, _total: None,
) -> Replay:
    """Decide again about every document that the version's set has classified: `deciders` are that set's."""
    found = deciders.decide(Question(encoder, (classifier,), thresholds, _move), show)
    return Replay(version, found.silent, found.told, found.without_features)


def documentation(version: Version, class_set: ClassSet) -> dict[str, Any]:
    """The class documentation as plain data; `class_set` is what the version says."""
    return {
        "class_set": version.class_set,
        "version": version.number,
        "state": version.state,
        "digest": version.digest,
        "created_at": version.created_at.isoformat(),
        "published_at": version.published_at.isoformat() if version.published_at else None,
        "classes": [item.model_dump(mode="json") for item in class_set.classes],
    }


def documentation_as_markdown(version: Version, class_set: ClassSet) -> str:
    """The class documentation as a page for people; `class_set` is what the version says."""
    when = f", published on {version.published_at:%Y-%m-%d}" if version.published_at else f", {version.state}"
    parts = [f"# {version.class_set}", f"Version {version.number}{when}: {len(class_set.classes)} classes."]
    for item in class_set.classes:
        parts += [f"## {item.name}", item.description or "*No description.*"]
        if item.wording:
            parts.append("Typical wording: " + ", ".join(f"`{phrase}`" for phrase in item.wording) + ".")
        if item.captions:
            parts.append("Examples:\n\n" + "\n".join(f"- {caption}" for caption in item.captions))
    return "\n\n".join(parts) + "\n"


def ensure_default(engine: Engine, folder: Path) -> list[str]:
    """Import and publish each class file of `folder` whose set does not exist yet; returns the names of those.

    A set that exists is left alone, whatever its file says: it belongs to the people who work with it.
    """
    made = []
    for path in sorted(folder.glob("*.yaml")):
        class_set = ClassSet.from_yaml(path)
        with transaction(engine) as connection:
            queries.create_class_set(connection, class_set.name)
            queries.lock_class_set(connection, class_set.name)
            if not queries.list_versions(connection, class_set.name):
                import_draft(connection, class_set)
                publish(connection, class_set.name)
                made.append(class_set.name)
    return made


def _versions(connection: Connection, name: str) -> Sequence[Version]:
    """All versions of a set, newest first, at least one."""
    versions = queries.list_versions(connection, name)
    if not versions:
        names = [item.name for item in queries.list_class_sets(connection)]
        raise RejectedInput(
            "unknown_class_set",
            f"there is no class set {name!r}; "
            + (f"there are {', '.join(names)}" if names else "`docintake classes import FILE` makes one"),
        )
    return versions


def _numbered(versions: Sequence[Version], number: int) -> Version:
    found = next((item for item in versions if item.number == number), None)
    if found is None:
        raise RejectedInput(
            "unknown_version",
            f"class set {versions[0].class_set!r} has no version {number}; its newest is {versions[0].number}",
        )
    return found


def _published(versions: Sequence[Version]) -> Version | None:
    return next((item for item in versions if item.state == "published"), None)


def _draft(versions: Sequence[Version]) -> Version:
    """The newest draft, unless a newer version is in service: that draft was passed over, and is named to be had."""
    draft = next((item for item in versions if item.state == "draft"), None)
    published = _published(versions)
    if draft is None or (published is not None and draft.number < published.number):
        name = versions[0].class_set
        raise RejectedInput(
            "no_draft",
            f"class set {name!r} has no draft that is newer than what is in service; `docintake classes import FILE` "
            "makes one, and --version names any other version",
        )
    return draft


def _turn(connection: Connection, version: Version) -> Turn:
    if version.state == "published":
        return Turn(now=version, before=version)
    before = queries.retire_published(connection, version.class_set)
    now = queries.publish(connection, version.id)
    if now is None:
        raise RejectedInput("unknown_version", f"version {version.number} of {version.class_set!r} is gone")
    return Turn(now=now, before=before)


def _changed_fields(old: DocumentClass, new: DocumentClass) -> dict[str, tuple[Any, Any]]:
    pairs = {field: (getattr(old, field), getattr(new, field)) for field in _FIELDS}
    return {field: (before, after) for field, (before, after) in pairs.items() if before != after}


def _move(item: LatestClassification, decisions: Sequence[Decision]) -> Move | None:
    (decision,) = decisions
    if decision.prediction == item.prediction:
        return None
    return Move(
        document_id=item.sha256,
        uri=item.uri,
        task_id=item.task_id,
        version=item.version,
        old=item.prediction,
        old_confidence=item.confidence,
        new=decision.prediction,
        confidence=decision.confidence,
        reasons=decision.reasons,
    )
