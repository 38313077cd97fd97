"""The references in docs/ are what the settings and the contract say today."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.contract import QUEUES
from core.settings import PROJECT, Settings
from worker.cli.main import app
from worker.reference import CODES, MODELS, contract_page, settings_page


@pytest.mark.parametrize(
    ("file", "page", "words"),
    [
        ("configuration.md", settings_page, ["settings", "--markdown"]),
        ("contract.md", contract_page, ["schema", "--markdown"]),
    ],
)
def test_what_is_committed_is_what_the_command_prints(file: str, page: Callable[[], str], words: list[str]) -> None:
    committed = (PROJECT / "docs" / file).read_text(encoding="utf-8")
    assert committed == page(), f"docintake {' '.join(words)} > docs/{file}"
    assert CliRunner().invoke(app, words).stdout == committed


def test_every_setting_is_told_with_its_variable() -> None:
    page = settings_page()
    for section, field in Settings.model_fields.items():
        names = getattr(field.annotation, "model_fields", {})
        for name in names:
            assert f"DOCINTAKE_{section.upper()}__{name.upper()}" in page
    assert "`deciding.thresholds.confidence`<br>`DOCINTAKE_DECIDING__THRESHOLDS__CONFIDENCE`" in page


def test_every_task_and_model_is_told_and_every_link_leads_somewhere() -> None:
    page = contract_page()
    assert all(f"`{task}`" in page for task in QUEUES)
    headings = {line.removeprefix("### ").lower() for line in page.splitlines() if line.startswith("### ")}
    assert {name.lower() for name in MODELS} <= headings
    assert set(re.findall(r"\(#(\w+)\)", page)) <= headings


def test_every_code_that_the_readme_tells_is_in_the_contract() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("| code | what happened |")[2].partition("\n\n")[0]
    codes = {code for row in table.splitlines()[2:] for code in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert codes
    assert codes <= {code for listed in CODES.values() for code in listed}


def test_settings_that_apply_are_printed_and_secrets_are_not(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("broker: {url: 'redis://me:secret@host/0'}\nnode: {concurrency: 3}")
    pretty, plain = (
        CliRunner().invoke(app, ["--config", str(file), "settings", *more]).stdout for more in ([], ["--json"])
    )
    assert re.search(r"node\.concurrency +3", pretty)
    assert '"concurrency": 3' in plain
    assert "secret" not in pretty + plain
