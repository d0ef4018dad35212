"""moto's S3 server with faults in front of it."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Operation = Literal["put", "open", "part", "complete", "abort", "delete", "list", "other"]


@dataclass
class Fault:
    """`times` requests of one operation are answered with `status` and the S3 error `code`; when `late`, after they took effect."""

    operation: Operation
    times: int
    status: str = "503 Service Unavailable"
    code: str = "SlowDown"
    late: bool = False


class FaultyS3:
    """A WSGI application. `seen` lists the operations in the order of their requests."""

    def __init__(self) -> None:
        self.seen: list[Operation] = []
        self.faults: list[Fault] = []
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        operation = _operation(environ)
        self.seen.append(operation)
        fault = next((fault for fault in self.faults if fault.operation == operation and fault.times), None)
        if fault is None:
            return self._moto(environ, start_response)  # type: ignore[no-any-return]
        fault.times -= 1
        if fault.late:
            b"".join(self._moto(environ, lambda *_: None))
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = f"<Error><Code>{fault.code}</Code><Message>as planned</Message></Error>".encode()
        start_response(fault.status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


def _operation(environ: dict[str, Any]) -> Operation:
    method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
    depth = environ["PATH_INFO"].strip("/").count("/")
    match method, bool(depth), query:
        case "PUT", True, _ if "partNumber=" in query:
            return "part"
        case "PUT", True, "":
            return "put"
        case "POST", True, _ if query.startswith("uploads"):
            return "open"
        case "POST", True, _ if "uploadId=" in query:
            return "complete"
        case "DELETE", True, _:
            return "abort" if "uploadId=" in query else "delete"
        case "GET", False, _ if "uploads" in query:
            return "list"
    return "other"


@contextmanager
def serving(app: FaultyS3) -> Iterator[str]:
    """The server's URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
