"""Whether a candidate may serve: only if it is better where it was not trained, and harms nothing."""

from core.training.report import Measured

_ROUNDING = 1e-9


def judge(
    before: Measured,
    after: Measured,
    unseen_before: float | None,
    unseen_after: float | None,
    max_fall: float,
) -> tuple[bool, list[str]]:
    """(whether it is accepted, why: one sentence each). Both are measured on the same held-out documents.

    It has to be better in macro accuracy, no class may fall by more than `max_fall`, and classes that a rehearsal had
    no labels of must not be told worse than before.
    """
    if before.macro_accuracy is None or after.macro_accuracy is None:
        return False, ["there are no held-out documents to judge by: more labels are needed"]
    change = (
        f"{_shown(before.macro_accuracy)} → {_shown(after.macro_accuracy)} on {after.documents} held-out documents"
    )
    faults = []
    if after.macro_accuracy <= before.macro_accuracy + _ROUNDING:
        faults.append(f"macro accuracy is not better: {change}")
    for name, result in after.per_class.items():
        fall = before.per_class[name].accuracy - result.accuracy
        if fall > max_fall + _ROUNDING:
            faults.append(
                f"class {name} falls: {_shown(before.per_class[name].accuracy)} → {_shown(result.accuracy)} of "
                f"{result.documents} documents; at most {_shown(max_fall)} is allowed"
            )
    if unseen_before is not None and unseen_after is not None and unseen_after < unseen_before - _ROUNDING:
        faults.append(
            f"classes without labels would suffer: {_shown(unseen_before)} → {_shown(unseen_after)} in the rehearsal"
        )
    if faults:
        return False, faults
    reasons = [f"macro accuracy is better: {change}"]
    if unseen_before is not None and unseen_after is not None:
        reasons.append(f"classes without labels: {_shown(unseen_before)} → {_shown(unseen_after)} in the rehearsal")
    return True, reasons


def _shown(share: float) -> str:
    return f"{share:.1%}"
