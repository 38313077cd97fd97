"""A collector of spans for the tests: what OpenTelemetry sends over HTTP, taken apart."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Spans:
    """Those that have come so far. Each: its name, ids in hexadecimal, attributes, status and times."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._found: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        spans = [
            {
                "name": span.name,
                "trace": span.trace_id.hex(),
                "id": span.span_id.hex(),
                "parent": span.parent_span_id.hex(),
                "attributes": {item.key: item.value.string_value for item in span.attributes},
                "status": span.status.message,
                "start": span.start_time_unix_nano,
                "end": span.end_time_unix_nano,
                "events": len(span.events),
            }
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._lock:
            self._found += spans

    def all(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._found)

    def of(self, trace_id: str) -> list[dict[str, Any]]:
        return [span for span in self.all() if span["trace"] == trace_id]


@contextmanager
def collected() -> Iterator[Spans]:
    """Within the block, spans are taken at `url`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            spans.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    spans = Spans(f"http://127.0.0.1:{server.server_port}/v1/traces")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield spans
    server.shutdown()
    server.server_close()
    thread.join()
