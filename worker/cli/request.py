"""Requests as the command line sends them: by which client, about which document, and what became of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from worker.cli.output import errors

if TYPE_CHECKING:
    from core.contract import DocumentReference, Handle, IntakeClient, IntakeError, Wire
    from core.errors import RejectedInput
    from core.settings import Settings

ResultT = TypeVar("ResultT", bound="Wire")


def connect(context: typer.Context) -> "tuple[Settings, IntakeClient]":
    """The settings, and a client of the broker that they name or that `docintake up` runs."""
    from core.contract import IntakeClient
    from core.settings import Settings
    from worker.embedded import locate

    settings = locate(Settings.load(context.obj))
    url = settings.broker.url
    return settings, IntakeClient(url.get_secret_value() if url else "", key_prefix=settings.broker.key_prefix)


def reference_to(path: str, settings: "Settings") -> "DocumentReference":
    """A local file goes by its URI where the worker may read it, else inside the message if it is small enough.

    Raises RejectedInput: `not_found`, `not_allowed`.
    """
    from core.contract import INLINE_LIMIT, DocumentReference, inline
    from core.errors import RejectedInput

    if len(path) == 64 and set(path) <= set("0123456789abcdef"):
        return DocumentReference(document_id=path)
    if "://" in path:
        return DocumentReference(uri=path)
    file = Path(path).resolve()
    if not file.is_file():
        raise RejectedInput("not_found", f"there is no file {path}")
    if _is_under_a_root(file, settings):
        return DocumentReference(uri=file.as_uri())
    if file.stat().st_size <= INLINE_LIMIT:
        return inline(file)
    raise _outside(file, settings, " and is too large to travel in a message")


def uri_of(path: str, settings: "Settings") -> str:
    """A local file or folder as the worker is to read it; a URI stays as it is.

    Raises RejectedInput: `not_found`, `not_allowed`.
    """
    from core.errors import RejectedInput

    if "://" in path:
        return path
    place = Path(path).resolve()
    if not place.exists():
        raise RejectedInput("not_found", f"there is no file or folder {path}")
    if not _is_under_a_root(place, settings):
        raise _outside(place, settings, "")
    return place.as_uri()


def _is_under_a_root(place: Path, settings: "Settings") -> bool:
    roots = [Path(root).resolve() for root in settings.documents.roots if "://" not in root]
    return any(place.is_relative_to(root) for root in roots)


def _outside(place: Path, settings: "Settings", more: str) -> "RejectedInput":
    from core.errors import RejectedInput

    folder = place if place.is_dir() else place.parent
    return RejectedInput(
        "not_allowed",
        f"{place} lies outside the roots that the worker may read{more}; add its folder: "
        f"DOCINTAKE_DOCUMENTS__ROOTS='{json.dumps([*settings.documents.roots, str(folder)])}'",
    )


def collect(
    handles: "Sequence[tuple[str, Handle[ResultT]]]", timeout: float, description: str, quiet: bool
) -> "list[tuple[str, ResultT | IntakeError]]":
    """Wait for all of them, `timeout` seconds in all, under a progress bar unless `quiet`."""
    import time

    from celery.exceptions import TimeoutError as NotInTime
    from rich.progress import track

    from core.contract import IntakeError

    deadline = time.monotonic() + timeout
    outcomes: list[tuple[str, ResultT | IntakeError]] = []
    for path, handle in track(handles, description, console=errors(), disable=quiet, transient=True):
        try:
            outcomes.append((path, handle.get(max(0.1, deadline - time.monotonic()))))
        except IntakeError as error:
            outcomes.append((path, error))
        except NotInTime:
            late = (
                f"no result within {timeout:g} s; task {handle.id} goes on; is a node running? try `docintake doctor`"
            )
            outcomes.append((path, IntakeError("failed", "not_in_time", late)))
    return outcomes


def outcome_as_json(path: str, outcome: "Wire | IntakeError") -> dict[str, Any]:
    """What `--json` prints of one document."""
    if isinstance(outcome, Exception):
        return {"path": path, "error": {"kind": outcome.kind, "code": outcome.code, "message": outcome.message}}
    return {"path": path, "result": outcome.model_dump(mode="json")}
