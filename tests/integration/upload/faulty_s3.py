"""moto's S3 server with faults, and the habits of other stores, in front of it."""

import io
import re
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
    """`times` requests of one operation are answered with `status` and the S3 error `code`; when
    `late`, after they took effect.
    """

    operation: Operation
    times: int
    status: str = "503 Service Unavailable"
    code: str = "SlowDown"
    late: bool = False


class EncryptedETags:
    """ETags as S3 makes them with a key of KMS: as long as an MD5, and none."""

    _DIGITS = "0123456789abcdef"
    _to_client = str.maketrans(_DIGITS, _DIGITS[1:] + _DIGITS[0])
    _to_store = str.maketrans(_DIGITS[1:] + _DIGITS[0], _DIGITS)

    def shown(self, etag: str) -> str:
        return etag.translate(self._to_client)

    def stored(self, etag: str) -> str:
        return etag.translate(self._to_store)


class OpaqueETags:
    """ETags that are not even hexadecimal, as some stores have them."""

    def shown(self, etag: str) -> str:
        return f"APmAV/{etag}"

    def stored(self, etag: str) -> str:
        return etag.removeprefix("APmAV/")


_ETAG = re.compile(r"(?<=<ETag>)[^<]+(?=</ETag>)")


class FaultyS3:
    """A WSGI application. `seen` lists the operations in the order of their requests. `etags` is
    how the store makes ETags that are not MD5s. One that `forgets` no longer knows a multipart
    upload that was completed."""

    def __init__(self) -> None:
        self.seen: list[Operation] = []
        self.faults: list[Fault] = []
        self.etags: EncryptedETags | OpaqueETags | None = None
        self.forgets = False
        self._completed: set[str] = set()
        self._server = DomainDispatcherApplication(create_backend_app)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        operation = _operation(environ)
        self.seen.append(operation)
        if self.forgets and operation == "complete" and environ["QUERY_STRING"] in self._completed:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return _refused(start_response, "404 Not Found", "NoSuchUpload")
        fault = next(
            (fault for fault in self.faults if fault.operation == operation and fault.times), None
        )
        if operation == "complete" and (fault is None or fault.late):
            self._completed.add(environ["QUERY_STRING"])
        if fault is None:
            return self._moto(environ, start_response)
        fault.times -= 1
        if fault.late:
            b"".join(self._moto(environ, lambda *_: None))
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        return _refused(start_response, fault.status, fault.code)

    def _moto(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self.etags is None:
            return self._server(environ, start_response)  # type: ignore[no-any-return]
        if environ["REQUEST_METHOD"] == "POST":
            asked = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            asked = _with_etags(asked, self.etags.stored)
            length = str(len(asked))
            environ = {**environ, "wsgi.input": io.BytesIO(asked), "CONTENT_LENGTH": length}
        started: list[Any] = []
        body = b"".join(self._server(environ, lambda *given: started.append(given)))
        status, headers = started[0][:2]
        changed = _with_etags(body, self.etags.shown)
        headers = [(key, self._header(key, value, changed)) for key, value in headers]
        start_response(status, headers)
        return [changed]

    def _header(self, key: str, value: str, body: bytes) -> str:
        match key.lower():
            case "etag" if self.etags is not None:
                return _change(value, self.etags.shown)
            case "content-length" if body:
                return str(len(body))
        return value


def _with_etags(body: bytes, how: Callable[[str], str]) -> bytes:
    if b"<ETag>" not in body:
        return body
    return _ETAG.sub(lambda found: _change(found[0], how), body.decode()).encode()


def _change(text: str, how: Callable[[str], str]) -> str:
    # The quotes, which XML may escape, are no part of the ETag.
    return re.sub(r"[^\"&;]{20,}", lambda found: how(found[0]), text)


def _refused(start_response: Callable[..., Any], status: str, code: str) -> list[bytes]:
    body = f"<Error><Code>{code}</Code><Message>as planned</Message></Error>".encode()
    length = str(len(body))
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", length)])
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
