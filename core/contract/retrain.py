"""The retrain task: learn from people's labels, and serve what was learned if it is better."""

from typing import Literal

from pydantic import Field

from .callback import Callback
from .document import Data, Uri, Wire


class CaptionsFile(Wire):
    """Captioned images to learn from beside the labels: `[{"image": …, "caption": …, "class": …}, …]`."""

    file: Uri = Field(description="URI of the JSON file.")
    images: Uri = Field(description="URI of the folder that its image names are relative to.")


class RetrainRequest(Wire):
    """Train a class set's alignment anew."""

    class_set: str | None = Field(
        default=None, max_length=100, description="A published class set; without one, the worker's default set."
    )
    captions: CaptionsFile | None = Field(default=None, description="Beside those that the worker's settings name.")
    overrides: Data = Field(
        default_factory=dict,
        description="Training settings for this run alone, by their names: `epochs`, `min_new_labels`, `seed` …",
    )
    callback: Callback | None = Field(default=None, description="Where to send the outcome when it has ended.")


class TrainingProgress(Wire):
    """Where a run stands; also what its task's state `PROGRESS` holds in the result backend."""

    phase: Literal["collecting", "rehearsal", "training", "judging"] = Field(
        description="`collecting` documents; a `rehearsal` with classes held out, to find when to stop; `training`; "
        "`judging` the candidate by held-out documents."
    )
    done: int = Field(ge=0, description="Documents while collecting, else epochs.")
    total: int = Field(ge=0)
    loss: float | None = Field(default=None, description="Of the last epoch, as all figures here.")
    validation_loss: float | None = None
    seen_accuracy: float | None = Field(default=None, description="Macro accuracy on validation documents.")
    unseen_accuracy: float | None = Field(default=None, description="Macro accuracy of classes held out.")
    eta: float | None = Field(default=None, description="Seconds that are left, as far as can be told.")


class RetrainResult(Wire):
    """How a run ended, and why."""

    task_id: str
    class_set: str
    status: Literal["promoted", "rejected", "skipped", "cancelled"] = Field(
        description="`promoted`: better, and in service; `rejected`: kept, but not better; `skipped`: nothing was "
        "trained; `cancelled`: somebody asked for it."
    )
    reasons: list[str] = Field(description="Why, one sentence each.")
    run_id: int | None = Field(description="Names the run in `docintake runs`.")
    checkpoint: int | None = Field(description="The candidate, where one was trained.")
    metrics: dict[str, float] = Field(
        default_factory=dict,
        description="Before and after on the held-out documents: `accuracy_before`, `macro_accuracy_after`, …",
    )
    labels: int = Field(default=0, description="Documents that were learned from or measured on.")
    left_out: int = Field(default=0, description="Documents that could not be used; the report says why.")
