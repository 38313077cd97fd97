"""`docintake checkpoints`, as typed."""

import getpass
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from trained import CLASSES, keep, report

from core.class_set import ClassSet, DocumentClass
from core.errors import ModelFailure, RejectedInput
from core.settings import Settings
from core.training.report import TrainingReport
from db import queries
from db.session import transaction
from worker import class_sets

Cli = Callable[..., Any]
Make = Callable[..., int]

TEXTS = ["dear bob", "please pay the bill", "total 12.50", "amount due", "invoice number 4", "kind regards"]


@pytest.fixture
def make(database: Engine, settings: Settings) -> Make:
    """Make a checkpoint of a class set, `papers` unless another is named; both are in service."""
    with transaction(database) as connection:
        for name in ("papers", "other"):
            classes = tuple(DocumentClass(name=item) for item in CLASSES)
            class_sets.import_draft(connection, ClassSet(name=name, classes=classes))
            class_sets.publish(connection, name)

    def make(class_set: str = "papers", **changed: Any) -> int:
        with transaction(database) as connection:
            return keep(connection, settings.checkpoints, class_set, **changed).id

    return make


def as_json(result: Any) -> Any:
    assert result.exception is None, result.exception
    return json.loads(result.stdout)


def code_of(result: Any) -> str:
    assert isinstance(result.exception, RejectedInput | ModelFailure), result.exception
    return result.exception.code


def cells_of(line: str) -> list[str]:
    """What a table's line holds: two blanks or more are between its columns."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_before_anything_was_learned_the_list_says_what_does(cli: Cli) -> None:
    assert "docintake retrain" in cli("checkpoints", "list").stdout
    assert as_json(cli("checkpoints", "list", "--json")) == []


def test_checkpoints_are_listed_with_what_became_of_them(cli: Cli, make: Make) -> None:
    one, two = make(), make()
    rejected = make(accepted=False, reasons=("class bill falls",))
    other = make("other")
    cli("checkpoints", "promote", one)
    cli("checkpoints", "promote", two)
    lines = [cells_of(line) for line in cli("checkpoints", "list").stdout.splitlines()]
    assert [line[:3] for line in lines[1:]] == [
        [str(other), "other", "candidate"],
        [str(rejected), "papers", "rejected"],
        [str(two), "papers", "in service"],
        [str(one), "papers", "retired"],
    ]
    assert lines[2][4:] == ["17", "50.0% → 75.0%", "class bill falls"]
    listed = as_json(cli("checkpoints", "list", "papers", "--json"))
    assert [item["id"] for item in listed] == [rejected, two, one]


def test_a_promotion_is_taken_back_by_a_rollback(cli: Cli, make: Make, database: Engine) -> None:
    one, two = make(), make()
    said = cli("checkpoints", "promote", one).stdout
    assert f"papers is decided by checkpoint {one}, in place of descriptions alone." in said
    assert "already" in cli("checkpoints", "promote", one).stdout
    said = cli("checkpoints", "promote", two, one, "--by", "ann").stdout
    assert f"by checkpoints {one}, {two}, in place of checkpoint {one}." in said
    assert as_json(cli("checkpoints", "rollback", "papers", "--json")) == {
        "class_set": "papers",
        "checkpoints": [one],
        "before": [one, two],
        "changed": True,
    }
    said = cli("checkpoints", "rollback", "papers").stdout
    assert f"by descriptions alone, in place of checkpoint {one}." in said
    assert code_of(cli("checkpoints", "rollback", "papers")) == "nothing_to_roll_back"
    with transaction(database) as connection:
        by = [item.by for item in queries.list_promotions(connection, "papers")]
    assert by == [getpass.getuser(), getpass.getuser(), "ann", getpass.getuser()]


def test_a_rejected_checkpoint_is_promoted_by_force_alone(cli: Cli, make: Make) -> None:
    rejected = make(accepted=False, reasons=("class bill falls",))
    refused = cli("checkpoints", "promote", rejected)
    assert code_of(refused) == "not_accepted"
    assert "class bill falls" in refused.exception.message
    assert as_json(cli("checkpoints", "promote", rejected, "--force", "--json"))["checkpoints"] == [rejected]


def test_what_is_not_there_or_does_not_fit_is_refused(cli: Cli, make: Make) -> None:
    one, other, strange = make(), make("other"), make(encoder="another")
    for words in (["show", 99], ["promote", 99], ["report", 99], ["compare", 99, "untrained"]):
        assert code_of(cli("checkpoints", *words)) == "unknown_checkpoint"
    assert code_of(cli("checkpoints", "promote", one, other)) == "other_class_set"
    assert code_of(cli("checkpoints", "promote", one, strange)) == "mixed_encoders"
    assert code_of(cli("checkpoints", "rollback", "none")) == "unknown_class_set"
    assert code_of(cli("checkpoints", "compare", one, other)) == "other_class_set"
    assert code_of(cli("checkpoints", "compare", one, strange)) == "other_encoder"
    assert code_of(cli("checkpoints", "compare", "serving", "untrained")) == "bad_arguments"
    assert code_of(cli("checkpoints", "compare", one, "best")) == "bad_arguments"


def test_a_checkpoint_is_shown_with_the_condition_of_its_file(cli: Cli, make: Make, settings: Settings) -> None:
    one = make()
    two = make(parents=(one,))
    cli("checkpoints", "promote", two, "--by", "ann")
    shown = dict(cells_of(line) for line in cli("checkpoints", "show", two).stdout.splitlines()[1:])
    assert (shown["learned from"], shown["compared with"]) == ("17 labels", f"checkpoint {one}")
    assert shown["calibration error"] == "0.500 → 0.325"
    assert shown["promoted"].endswith("UTC by ann")
    assert shown["the file is"] == "ok"

    found = as_json(cli("checkpoints", "show", two, "--json"))
    assert (found["state"], found["parents"], found["condition"]) == ("active", [one], "ok")
    path = Path(found["path"])
    assert path == settings.checkpoints.resolve() / found["file"]
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")
    assert as_json(cli("checkpoints", "show", two, "--json"))["condition"] == "damaged"
    path.unlink()
    assert "missing" in cli("checkpoints", "show", two).stdout


def test_promoting_a_damaged_file_is_warned_of(cli: Cli, make: Make, settings: Settings) -> None:
    one = make()
    for file in settings.checkpoints.iterdir():
        file.write_bytes(b"nothing")
    promoted = cli("checkpoints", "promote", one)
    assert promoted.exit_code == 0
    assert f"The file of checkpoint {one} is damaged" in promoted.stderr
    assert code_of(cli("checkpoints", "compare", one, "untrained")) == "checkpoint_damaged"
    assert code_of(cli("checkpoints", "report", one)) == "checkpoint_damaged"


def test_a_comparison_puts_figures_and_decisions_side_by_side(
    cli: Cli, make: Make, classified: Callable[..., str], database: Engine
) -> None:
    one, two = make(seed=1), make(seed=2, unseen_before=0.25, unseen_after=0.5)
    ids = [classified(text, uri=f"file:///inbox/{number}.pdf") for number, text in enumerate(TEXTS)]
    unknown = classified("dear aunt", encoder="an older model")
    found = as_json(cli("checkpoints", "compare", one, two, "--json"))
    assert (found["class_set"], found["version"], found["documents"]) == ("papers", 1, 7)
    assert found["without_features"] == [unknown]
    different = found["disagreements"]
    assert {item["document_id"] for item in different} <= set(ids)
    assert found["same"] + len(different) == 6
    assert all(item["a"] != item["b"] and item["label"] is None for item in different)
    assert found["b"]["figures"] == {"macro_accuracy": 0.75, "accuracy": 0.75, "ece": 0.325, "unseen": 0.5}

    with transaction(database) as connection:
        queries.put_correction(
            connection,
            correction_task_id="c",
            sha256=different[0]["document_id"],
            class_set="papers",
            label=different[0]["b"],
            previous=None,
            task_id=None,
            by="ann",
            note=None,
        )
    printed = cli("checkpoints", "compare", one, two).stdout
    assert f"papers version 1: checkpoint {one} and checkpoint {two}" in printed
    assert ["macro accuracy", "75.0%", "75.0%"] in [cells_of(line) for line in printed.splitlines()]
    assert ["accuracy of classes without labels", "—", "50.0%"] in [cells_of(line) for line in printed.splitlines()]
    assert f"{found['same']} are decided alike, {len(different)} differently" in printed
    assert f"what 1 of these is: checkpoint {one} is right about 0, checkpoint {two} about 1" in printed
    assert "1 document has no stored features" in printed
    assert Path(different[0]["uri"]).name in printed


def test_a_checkpoint_is_compared_with_what_serves_and_with_nothing_learned(
    cli: Cli, make: Make, classified: Callable[..., str]
) -> None:
    one = make(seed=1)
    for text in TEXTS:
        classified(text)
    untrained = as_json(cli("checkpoints", "compare", one, "untrained", "--json"))
    assert untrained["b"] == {
        "name": "untrained",
        "checkpoints": [],
        "figures": {"macro_accuracy": 0.5, "accuracy": 0.5, "ece": 0.5},
    }
    assert untrained["disagreements"]
    serving = as_json(cli("checkpoints", "compare", one, "serving", "--json"))
    assert (serving["b"]["name"], serving["disagreements"]) == ("serving (untrained)", untrained["disagreements"])
    cli("checkpoints", "promote", one)
    serving = as_json(cli("checkpoints", "compare", one, "serving", "--json"))
    assert (serving["b"]["name"], serving["same"]) == (f"serving ({one})", 6)
    assert "6 are decided alike, 0 differently" in cli("checkpoints", "compare", one, "serving").stdout


def test_a_comparison_without_documents_says_so(cli: Cli, make: Make) -> None:
    assert "No document was classified by this set yet." in cli("checkpoints", "compare", make(), "untrained").stdout


def test_a_report_is_written_as_a_page_or_printed_as_json(
    cli: Cli, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make()
    page = tmp_path / "report.html"
    written = cli("checkpoints", "report", one, "--output", page)
    assert (written.stdout, written.stderr) == ("", f"Wrote {page}\n")
    assert f"<title>papers: checkpoint {one}</title>" in page.read_text()
    monkeypatch.chdir(tmp_path)
    cli("checkpoints", "report", one)
    assert (tmp_path / f"papers-{one}.html").read_text() == page.read_text()
    assert TrainingReport.model_validate(as_json(cli("checkpoints", "report", one, "--json"))) == report()
    unwritable = cli("checkpoints", "report", one, "--output", tmp_path / "nowhere" / "report.html")
    assert code_of(unwritable) == "not_writable"


def test_a_replay_of_classes_decides_by_the_checkpoint_that_serves(
    cli: Cli, make: Make, classified: Callable[..., str]
) -> None:
    for text in TEXTS:
        classified(text)
    one = make(seed=1)
    assert as_json(cli("classes", "replay", "papers", "--version", 1, "--json"))["moved"] == []
    cli("checkpoints", "promote", one)
    moved = as_json(cli("classes", "replay", "papers", "--version", 1, "--json"))["moved"]
    compared = as_json(cli("checkpoints", "compare", "untrained", one, "--json"))["disagreements"]
    assert [(item["document_id"], item["new"]) for item in moved] == [
        (item["document_id"], item["b"]) for item in compared
    ]
