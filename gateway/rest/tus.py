"""/api/ingest/uploads: resumable uploads over HTTP by the tus protocol 1.0, on the RPCs of the
upload service.

The keys of Upload-Metadata are filename, request_id and the fields of the form, with the meaning
that they have there.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.http import problems
from gateway.http.clients import client_of
from gateway.intake import tus_headers
from gateway.intake.destination import FIELDS, destination, request_id
from gateway.intake.form import Body, Limits, too_large
from gateway.intake.receiving import Destination, append
from gateway.intake.tus_headers import BODY_TYPE, RESUMABLE, Checksum, invalid
from gateway.metrics import Metrics
from gateway.ports import Services
from services.common import logs, task_states
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from sluice.upload.v1.upload_pb2 import Upload

PATH = "/api/ingest/uploads"

EXPOSED_HEADERS = (
    "Sluice-Task-Id",
    "Tus-Checksum-Algorithm",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Expires",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
)
"""What a page of another origin may read of our answers."""

MAX_CHECKED_BYTES = 16 * 1024 * 1024
"""Longest body whose checksum can be checked: it has to be known before the first byte of it is
kept.
"""

SMALLER = "Send the file in smaller chunks, or without Upload-Checksum."

MAX_CHECKED = 4
"""Such bodies that are held at once."""

CHECK_WAIT_S = 5.0
"""Longest that a request waits until fewer are held."""

CHECKED_BODY_S = 60.0
"""Longest that such a body may take to arrive: whoever sends it holds a place that others wait
for."""

RETRY_AFTER_S = (3, 12)
"""When a request that found no place may come again, from and to: not all at the same moment."""


def router(services: Services, limits: Limits, metrics: Metrics) -> APIRouter:
    """The routes, on the given services."""
    routes = APIRouter(tags=["ingest"], responses=problems.RESPONSES)
    tus = _Tus(services, limits)

    @routes.api_route(PATH, methods=["POST", "OPTIONS"], include_in_schema=False)
    async def uploads(request: Request) -> Response:
        """tus 1.0: makes a resumable upload. Upload-Length and Upload-Metadata (filename,
        datasource_name; mode, allow_duplicate, request_id) say what comes; the answer's Location is
        where PATCH, HEAD and DELETE go, and Sluice-Task-Id the task.
        """
        return await answered(request)

    @routes.api_route(
        PATH + "/{upload_id}",
        methods=["POST", "PATCH", "HEAD", "DELETE", "OPTIONS"],
        include_in_schema=False,
    )
    async def upload(request: Request, upload_id: str) -> Response:
        """tus 1.0: sends (PATCH), looks at (HEAD; changes nothing) or gives up (DELETE) an
        upload."""
        return await answered(request, upload_id)

    async def answered(request: Request, upload_id: str = "") -> Response:
        method = request.method
        if method == "POST":
            method = request.headers.get("x-http-method-override", method).upper()
        try:
            return await tus.answer(method, request, upload_id)
        except SluiceError as refused:
            request.state.code = refused.code
            metrics.refused.labels(refused.code).inc()
            return _refusal(request, refused)

    return routes


def _refusal(request: Request, refused: SluiceError) -> Response:
    status = None
    headers = dict(RESUMABLE)
    if refused.problem.column == "Tus-Resumable":
        status, headers["Tus-Version"] = 412, tus_headers.VERSION
    elif refused.problem.column == "Content-Type":
        status = 415
    return problems.response(request.url.path, refused, headers, status)


class _Tus:
    def __init__(self, services: Services, limits: Limits) -> None:
        self._uploads = services.uploads
        self._limits = limits
        self._checking = asyncio.Semaphore(MAX_CHECKED)

    async def answer(self, method: str, request: Request, upload_id: str) -> Response:
        if method == "OPTIONS":
            return Response(
                status_code=204, headers=tus_headers.capabilities(self._limits.file_bytes)
            )
        version = request.headers.get("tus-resumable", "")
        if version != tus_headers.VERSION:
            raise invalid(
                "Tus-Resumable",
                f"The tus version {version or '(none)'} is not spoken here; {tus_headers.VERSION} is.",
                version,
            )
        match method, bool(upload_id):
            case "POST", False:
                return await self._create(request)
            case "HEAD", True:
                return await self._look(upload_id)
            case "PATCH", True:
                return await self._append(request, upload_id)
            case "DELETE", True:
                await self._resumable(upload_id)
                await self._uploads.abort(upload_id)
                return Response(status_code=204, headers=RESUMABLE)
        raise error(ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED, f"{method} is not possible here.")

    async def _resumable(self, upload_id: str) -> Upload:
        """The upload as it stands.

        Raises:
            SluiceError: TASK_NOT_FOUND; UPLOAD_NOT_RESUMABLE for one that another interface
            receives in one stream.
        """
        upload = await self._uploads.get(upload_id)
        if upload.mode != UploadMode.UPLOAD_MODE_RESUMABLE:
            text = "This upload was not created by tus and is received in one stream."
            raise error(ErrorReason.ERROR_REASON_UPLOAD_NOT_RESUMABLE, text, value=upload_id)
        return upload

    async def _create(self, request: Request) -> Response:
        tus_headers.check_known(request.headers, tus_headers.CREATION)
        with_bytes = request.headers.get("content-type", "") == BODY_TYPE
        if "upload-checksum" in request.headers and not with_bytes:
            text = f"Upload-Checksum needs bytes with the Content-Type {BODY_TYPE}."
            raise invalid("Upload-Checksum", text, request.headers["upload-checksum"])
        if "upload-length" not in request.headers:
            raise invalid(
                "Upload-Length",
                "Upload-Length is missing; uploads of a length that is not known yet are not taken.",
            )
        length = tus_headers.size(request.headers, "Upload-Length")
        if not length:
            text = "The file is empty."
            raise error(ErrorReason.ERROR_REASON_FILE_EMPTY, text, column="Upload-Length")
        if length > self._limits.file_bytes:
            raise too_large(self._limits.file_bytes)
        said = request.headers.get("upload-metadata", "")
        pairs = tus_headers.metadata(said)
        filename = pairs.get("filename") or pairs.get("name", "")
        if not filename:
            raise invalid("Upload-Metadata", "Upload-Metadata has no filename.")
        wanted = _destination(request, pairs)
        made = await self._uploads.create(
            wanted.request(
                filename, UploadMode.UPLOAD_MODE_RESUMABLE, size=length, client_metadata=said
            )
        )
        upload = made.upload
        logs.bind(task_id=upload.upload_id)
        _check_not_ended(upload)
        headers = {"Location": f"{PATH}/{upload.upload_id}", "Sluice-Task-Id": upload.upload_id}
        if with_bytes:
            # Of an upload that was there before, the client is told where to go on instead.
            if made.created:
                upload = await self._first_bytes(request, upload, length)
            headers["Upload-Offset"] = str(upload.committed_size)
        return Response(status_code=201, headers={**RESUMABLE, **headers, **_expiry(upload)})

    async def _first_bytes(self, request: Request, upload: Upload, length: int) -> Upload:
        try:
            return await self._receive(request, upload.upload_id, 0, length)
        except SluiceError as broken:
            # The upload is made all the same, and the client goes on with what is stored of it.
            kept = await self._uploads.get(upload.upload_id)
            if kept.state != TaskState.TASK_STATE_PENDING:
                raise broken from None
            return kept

    async def _look(self, upload_id: str) -> Response:
        upload = await self._resumable(upload_id)
        _check_not_ended(upload)
        headers = {
            "Upload-Offset": str(upload.committed_size),
            "Upload-Length": str(upload.size),
            "Sluice-Task-Id": upload_id,
        }
        if upload.client_metadata:
            headers["Upload-Metadata"] = upload.client_metadata
        return Response(
            status_code=200,
            headers={**RESUMABLE, **headers, "Cache-Control": "no-store", **_expiry(upload)},
        )

    async def _append(self, request: Request, upload_id: str) -> Response:
        tus_headers.check_known(request.headers, tus_headers.APPENDING)
        if request.headers.get("content-type", "") != BODY_TYPE:
            raise invalid(
                "Content-Type",
                f"The Content-Type of a PATCH must be {BODY_TYPE}.",
                request.headers.get("content-type", ""),
            )
        offset = tus_headers.size(request.headers, "Upload-Offset")
        logs.bind(task_id=upload_id)
        upload = await self._resumable(upload_id)
        _check_not_ended(upload)
        if offset != upload.committed_size:
            text = f"The upload goes on at byte {upload.committed_size:,}, not at byte {offset:,}."
            if upload.state != TaskState.TASK_STATE_PENDING:
                text = f"The upload is complete with {upload.committed_size:,} bytes."
            raise error(
                ErrorReason.ERROR_REASON_OFFSET_MISMATCH,
                text,
                action="Ask with HEAD for Upload-Offset and go on from there.",
                metadata={"expected_offset": str(upload.committed_size)},
            )
        if upload.state == TaskState.TASK_STATE_PENDING:
            upload = await self._receive(request, upload_id, offset, upload.size)
        return Response(
            status_code=204,
            headers={**RESUMABLE, "Upload-Offset": str(upload.committed_size), **_expiry(upload)},
        )

    async def _receive(self, request: Request, upload_id: str, offset: int, length: int) -> Upload:
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and offset + int(announced) > length:
            raise _too_many(length)
        body = Body(request.receive, self._limits)
        checksum = request.headers.get("upload-checksum")
        if checksum is None:
            return await append(
                self._uploads, upload_id, _pieces(body, length - offset), offset=offset, size=length
            )
        expected = Checksum.of(checksum)
        async with self._held():
            data = await _whole(body)
            await asyncio.to_thread(expected.check, data)
            return await append(self._uploads, upload_id, _one(data), offset=offset, size=length)

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        """Around a body that is held whole. Raises TOO_MANY_UPLOADS where too many are."""
        try:
            async with asyncio.timeout(CHECK_WAIT_S):
                await self._checking.acquire()
        except TimeoutError:
            wait_s = random.randint(*RETRY_AFTER_S)  # noqa: S311 - jitter
            raise error(
                ErrorReason.ERROR_REASON_TOO_MANY_UPLOADS,
                f"The limit of concurrent requests with a checksum is reached: {MAX_CHECKED}.",
                action="Send these bytes again in a moment, or without Upload-Checksum.",
                metadata={"retry_after_s": str(wait_s)},
            ) from None
        try:
            yield
        finally:
            self._checking.release()


def _destination(request: Request, pairs: dict[str, str]) -> Destination:
    fields = {name: request.query_params[name] for name in FIELDS if name in request.query_params}
    fields |= {name: pairs[name] for name in FIELDS if name in pairs}
    if "datasource_name" not in fields:
        raise invalid("Upload-Metadata", "Upload-Metadata has no datasource_name.")
    key = pairs.get("request_id") or request.headers.get("idempotency-key") or request_id(None)
    return destination(fields, key, client_of(request))


def _check_not_ended(upload: Upload) -> None:
    """Raises the reason for which the upload ended before its file was whole; as UPLOAD_EXPIRED, so
    that clients begin anew.
    """
    if upload.state in task_states.TERMINAL and upload.problem.code and not upload.committed_size:
        if upload.problem.code == ErrorReason.ERROR_REASON_UPLOAD_EXPIRED:
            raise SluiceError(upload.problem)
        text = f"The upload has ended. {upload.problem.message}"
        raise error(ErrorReason.ERROR_REASON_UPLOAD_EXPIRED, text, action=upload.problem.action)


def _expiry(upload: Upload) -> dict[str, str]:
    return (
        {"Upload-Expires": tus_headers.http_date(upload.expire_time)}
        if upload.HasField("expire_time")
        else {}
    )


def _too_many(length: int) -> SluiceError:
    text = f"The request has more bytes than are missing of the {length:,} that were announced."
    return error(
        ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
        text,
        action="Send the bytes of the file from Upload-Offset on.",
    )


async def _pieces(body: Body, most: int) -> AsyncGenerator[bytes, None]:
    size = 0
    while piece := await body.read():
        size += len(piece)
        if size > most:
            raise _too_many(most)
        yield piece


async def _whole(body: Body) -> bytes:
    data = bytearray()
    try:
        async with asyncio.timeout(CHECKED_BODY_S):
            while piece := await body.read():
                data += piece
                if len(data) > MAX_CHECKED_BYTES:
                    text = f"The limit of a request with a checksum is {MAX_CHECKED_BYTES:,} bytes."
                    raise error(ErrorReason.ERROR_REASON_FILE_TOO_LARGE, text, action=SMALLER)
    except TimeoutError:
        text = f"The bytes with a checksum did not arrive within {CHECKED_BODY_S:g} s."
        raise error(ErrorReason.ERROR_REASON_UPLOAD_STALLED, text, action=SMALLER) from None
    return bytes(data)


async def _one(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data
