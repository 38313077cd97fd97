"""Traces where nobody asks for any, and where OpenTelemetry is not installed."""

import subprocess
import sys

import pytest

from core.contract import client
from core.errors import RejectedInput
from core.settings import Settings, Tracing
from worker import tracing


def test_where_nobody_traces_nothing_of_opentelemetry_is_imported() -> None:
    script = (
        "import sys\nfrom core.contract import client\nfrom core.settings import Settings\n"
        "from worker import tracing\n"
        "with tracing.traced(Settings(), 'node'), tracing.task('t', '1', None, 0.1) as trace_id:\n"
        "    with tracing.span('read'):\n        tracing.name_document('d')\n"
        "    assert (trace_id, tracing.place(), client._trace()) == (None, None, {})\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_where_it_is_not_installed_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    settings = Settings(tracing=Tracing(endpoint="http://127.0.0.1:1/v1/traces"))
    with pytest.raises(RejectedInput, match="no_tracing"), tracing.traced(settings, "node"):
        raise AssertionError("it traces")


def test_a_sender_that_is_in_no_span_says_no_place() -> None:
    pytest.importorskip("opentelemetry.trace")
    assert client._trace() == {}
