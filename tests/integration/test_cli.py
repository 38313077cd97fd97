"""`docintake` itself: quick to start, and clear about what went wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

from serving import Cli

from core.settings import Settings


def docintake(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "celery", "sqlalchemy", "numpy", "PIL", "transformers", "redis")
    code = f"import sys, worker.cli.main; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_products_of_numpy_stay_on_one_thread() -> None:
    code = (
        "import sys, contextlib, worker.cli.main as cli\n"
        "sys.argv[1:] = ['--help']\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(None): cli.main()\n"
        "import numpy, threadpoolctl\n"
        "print({pool['num_threads'] for pool in threadpoolctl.threadpool_info()})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "{1}"


def test_an_error_is_one_clear_line_and_exit_status_2(tmp_path: Path) -> None:
    words = ("classes", "import", str(tmp_path / "missing.yaml"))
    shown = docintake(*words)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith("bad_class_file: ")
    assert "Traceback" not in shown.stderr

    as_json = docintake(*words, "--json")
    assert as_json.returncode == 2
    assert json.loads(as_json.stdout)["error"]["code"] == "bad_class_file"


def test_without_servers_every_command_that_needs_them_says_how_to_start_them(tmp_path: Path) -> None:
    for words in (["classes", "list"], ["jobs", "list"]):
        shown = docintake(*words, DOCINTAKE_DATA_DIR=str(tmp_path))
        assert shown.returncode == 2
        assert "docintake up" in shown.stderr


def test_the_urls_of_servers_are_printed_for_other_programs(cli: Cli, settings: Settings) -> None:
    for server, url in (("broker", settings.broker.url), ("database", settings.database.url)):
        assert url
        assert cli("url", server).stdout == f"{url.get_secret_value()}\n"
