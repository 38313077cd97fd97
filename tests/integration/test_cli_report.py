"""`docintake report`, as typed, on a few days of made-up work."""

import json
from pathlib import Path

import history
from serving import Cli
from sqlalchemy import Engine

from core.errors import RejectedInput
from db.session import transaction


def test_it_writes_a_page_and_prints_the_same_in_figures(cli: Cli, database: Engine, tmp_path: Path) -> None:
    with transaction(database) as connection:
        history.make(connection, rows=60, days=5)
    file = tmp_path / "report.html"
    result = cli("report", "--since", "7d", "--class-set", "intake", "--output", file)
    assert result.exit_code == 0
    assert f"{file}: " in result.stderr
    assert file.read_text().startswith("<!DOCTYPE html>")
    figures = json.loads(cli("report", "--since", "7d", "--json").stdout)
    assert (figures["class_set"], figures["period"]) == ("intake", "day")
    assert f"{sum(period['documents'] for period in figures['periods'])} documents" in result.stderr
    assert not Path("report.html").exists()


def test_a_page_that_cannot_be_written_is_said(cli: Cli, database: Engine, tmp_path: Path) -> None:
    with transaction(database) as connection:
        history.make(connection, rows=30, days=5)
    error = cli("report", "--output", tmp_path / "nowhere" / "report.html").exception
    assert isinstance(error, RejectedInput)
    assert error.code == "not_writable"
