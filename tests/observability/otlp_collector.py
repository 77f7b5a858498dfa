"""A collector of spans on loopback: takes OTLP over HTTP, at whatever path, and keeps what came."""

import gzip
import http.server
import threading
from dataclasses import dataclass, field


@dataclass
class Span:
    name: str
    attributes: dict
    error: bool
    events: list
    parent: "Span | None" = None
    children: list = field(default_factory=list)

    def __getitem__(self, key):
        return self.attributes.get(key)


def value_of(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def attributes_of(pairs):
    return {pair.key: value_of(pair.value) for pair in pairs}


class Collector(http.server.ThreadingHTTPServer):
    """Context manager; `url` is its address, `requests` the (path, headers, body) that came."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self._thread.join()
        self.server_close()

    def spans(self):
        """All spans that came, each with its parent and children, by the time they began."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found = {}
        for path, _, body in self.requests:
            if not path.endswith("/v1/traces"):
                continue
            message = ExportTraceServiceRequest.FromString(body)
            for resource in message.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        known = Span(
                            span.name,
                            attributes_of(span.attributes),
                            span.status.code == 2,
                            [
                                {"name": event.name, **attributes_of(event.attributes)}
                                for event in span.events
                            ],
                        )
                        found[span.span_id] = (span.start_time_unix_nano, span.parent_span_id, known)
        for _, parent, span in found.values():
            if parent in found:
                span.parent = found[parent][2]
                span.parent.children.append(span)
        return [span for _, _, span in sorted(found.values(), key=lambda item: item[0])]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.requests.append((self.path, dict(self.headers), body))
        self._answer(b"" if "traces" in self.path else b"{}")

    def do_GET(self):
        self.server.requests.append((self.path, dict(self.headers), b""))
        self._answer(b"{}")

    def _answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
