"""/api/ingest/uploads: resumable uploads by the tus protocol 1.0.

The keys of Upload-Metadata are filename, request_id, and the fields of the form of
POST /api/ingest/upload.
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
"""Response headers that pages of other origins may read."""

MAX_CHECKED_BYTES = 16 * 1024 * 1024
"""Maximum length of a body with a checksum. It is held in memory, because no byte may be kept
before the checksum is verified.
"""

SMALLER = "Send the file in smaller chunks, or without Upload-Checksum."

MAX_CHECKED = 4
"""Maximum bodies with a checksum that are held concurrently."""

CHECK_WAIT_S = 5.0
"""Maximum seconds that a request waits for a slot."""

CHECKED_BODY_S = 60.0
"""Maximum seconds to receive a body with a checksum, because it occupies a slot."""

RETRY_AFTER_S = (3, 12)
"""Range of Retry-After in seconds for requests that got no slot. Random, to spread retries."""


def router(services: Services, limits: Limits, metrics: Metrics) -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(tags=["ingest"], responses=problems.RESPONSES)
    tus = _Tus(services, limits)

    @routes.api_route(PATH, methods=["POST", "OPTIONS"], include_in_schema=False)
    async def uploads(request: Request) -> Response:
        """tus 1.0: create a resumable upload from Upload-Length and Upload-Metadata (filename,
        datasource_name; mode, allow_duplicate, request_id). PATCH, HEAD and DELETE go to the
        response's Location; Sluice-Task-Id is the task.
        """
        return await respond(request)

    @routes.api_route(
        PATH + "/{upload_id}",
        methods=["POST", "PATCH", "HEAD", "DELETE", "OPTIONS"],
        include_in_schema=False,
    )
    async def upload(request: Request, upload_id: str) -> Response:
        """tus 1.0: append to (PATCH), read (HEAD) or abort (DELETE) an upload."""
        return await respond(request, upload_id)

    async def respond(request: Request, upload_id: str = "") -> Response:
        method = request.method
        if method == "POST":
            method = request.headers.get("x-http-method-override", method).upper()
        try:
            return await tus.handle(method, request, upload_id)
        except SluiceError as failure:
            request.state.code = failure.code
            metrics.refused.labels(failure.code).inc()
            return _error_response(request, failure)

    return routes


def _error_response(request: Request, failure: SluiceError) -> Response:
    status = None
    headers = dict(RESUMABLE)
    if failure.problem.column == "Tus-Resumable":
        status, headers["Tus-Version"] = 412, tus_headers.VERSION
    elif failure.problem.column == "Content-Type":
        status = 415
    return problems.response(request.url.path, failure, headers, status)


class _Tus:
    def __init__(self, services: Services, limits: Limits) -> None:
        self._uploads = services.uploads
        self._limits = limits
        self._checksum_slots = asyncio.Semaphore(MAX_CHECKED)

    async def handle(self, method: str, request: Request, upload_id: str) -> Response:
        if method == "OPTIONS":
            return Response(
                status_code=204, headers=tus_headers.capabilities(self._limits.file_bytes)
            )
        version = request.headers.get("tus-resumable", "")
        if version != tus_headers.VERSION:
            text = (
                f"Unsupported tus version {version or '(none)'}. Supported: {tus_headers.VERSION}."
            )
            raise invalid("Tus-Resumable", text, version)
        match method, bool(upload_id):
            case "POST", False:
                return await self._create(request)
            case "HEAD", True:
                return await self._head(upload_id)
            case "PATCH", True:
                return await self._append(request, upload_id)
            case "DELETE", True:
                await self._get_resumable(upload_id)
                await self._uploads.abort(upload_id)
                return Response(status_code=204, headers=RESUMABLE)
        raise error(ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED, f"{method} is not allowed here.")

    async def _get_resumable(self, upload_id: str) -> Upload:
        """Read an upload.

        Raises:
            SluiceError: TASK_NOT_FOUND; UPLOAD_NOT_RESUMABLE for a one-shot upload of another
            interface.
        """
        upload = await self._uploads.get(upload_id)
        if upload.mode != UploadMode.UPLOAD_MODE_RESUMABLE:
            text = "This upload was not created by tus and cannot be resumed."
            raise error(ErrorReason.ERROR_REASON_UPLOAD_NOT_RESUMABLE, text, value=upload_id)
        return upload

    async def _create(self, request: Request) -> Response:
        tus_headers.check_known(request.headers, tus_headers.CREATION)
        with_bytes = request.headers.get("content-type", "") == BODY_TYPE
        if "upload-checksum" in request.headers and not with_bytes:
            text = f"Upload-Checksum requires a body with the Content-Type {BODY_TYPE}."
            raise invalid("Upload-Checksum", text, request.headers["upload-checksum"])
        if "upload-length" not in request.headers:
            text = "Upload-Length is missing; uploads of unknown length are not supported."
            raise invalid("Upload-Length", text)
        length = tus_headers.size(request.headers, "Upload-Length")
        if not length:
            text = "The file is empty."
            raise error(ErrorReason.ERROR_REASON_FILE_EMPTY, text, column="Upload-Length")
        if length > self._limits.file_bytes:
            raise too_large(self._limits.file_bytes)
        metadata = request.headers.get("upload-metadata", "")
        pairs = tus_headers.metadata(metadata)
        filename = pairs.get("filename") or pairs.get("name", "")
        if not filename:
            raise invalid("Upload-Metadata", "Upload-Metadata has no filename.")
        created = await self._uploads.create(
            _destination(request, pairs).request(
                filename, UploadMode.UPLOAD_MODE_RESUMABLE, size=length, client_metadata=metadata
            )
        )
        upload = created.upload
        logs.bind(task_id=upload.upload_id)
        _check_not_ended(upload)
        headers = {"Location": f"{PATH}/{upload.upload_id}", "Sluice-Task-Id": upload.upload_id}
        if with_bytes:
            # If the upload already existed, the client resumes at Upload-Offset instead.
            if created.created:
                upload = await self._first_bytes(request, upload, length)
            headers["Upload-Offset"] = str(upload.committed_size)
        return Response(status_code=201, headers={**RESUMABLE, **headers, **_expiry(upload)})

    async def _first_bytes(self, request: Request, upload: Upload, length: int) -> Upload:
        try:
            return await self._receive(request, upload.upload_id, 0, length)
        except SluiceError as failure:
            # The upload exists anyway, and the client resumes after the stored bytes.
            stored = await self._uploads.get(upload.upload_id)
            if stored.state != TaskState.TASK_STATE_PENDING:
                raise failure from None
            return stored

    async def _head(self, upload_id: str) -> Response:
        upload = await self._get_resumable(upload_id)
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
        upload = await self._get_resumable(upload_id)
        _check_not_ended(upload)
        if offset != upload.committed_size:
            text = f"The upload resumes at byte {upload.committed_size:,}, not at byte {offset:,}."
            if upload.state != TaskState.TASK_STATE_PENDING:
                text = f"The upload is complete with {upload.committed_size:,} bytes."
            raise error(
                ErrorReason.ERROR_REASON_OFFSET_MISMATCH,
                text,
                action="Read Upload-Offset with HEAD and resume from there.",
                metadata={"expected_offset": str(upload.committed_size)},
            )
        if upload.state == TaskState.TASK_STATE_PENDING:
            upload = await self._receive(request, upload_id, offset, upload.size)
        return Response(
            status_code=204,
            headers={**RESUMABLE, "Upload-Offset": str(upload.committed_size), **_expiry(upload)},
        )

    async def _receive(self, request: Request, upload_id: str, offset: int, length: int) -> Upload:
        remaining = length - offset
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > remaining:
            raise _too_many(remaining)
        body = Body(request.receive, self._limits)
        checksum = request.headers.get("upload-checksum")
        if checksum is None:
            return await append(
                self._uploads, upload_id, _pieces(body, remaining), offset=offset, size=length
            )
        expected = Checksum.of(checksum)
        async with self._checksum_slot():
            data = await _read_checked(body)
            await asyncio.to_thread(expected.check, data)
            return await append(self._uploads, upload_id, _one(data), offset=offset, size=length)

    @asynccontextmanager
    async def _checksum_slot(self) -> AsyncIterator[None]:
        """Holds a slot for a body with a checksum. Raises TOO_MANY_UPLOADS if none becomes free."""
        try:
            async with asyncio.timeout(CHECK_WAIT_S):
                await self._checksum_slots.acquire()
        except TimeoutError:
            wait_s = random.randint(*RETRY_AFTER_S)  # noqa: S311 - jitter
            raise error(
                ErrorReason.ERROR_REASON_TOO_MANY_UPLOADS,
                f"The limit of concurrent requests with a checksum is reached: {MAX_CHECKED}.",
                action="Send these bytes again after Retry-After, or without Upload-Checksum.",
                metadata={"retry_after_s": str(wait_s)},
            ) from None
        try:
            yield
        finally:
            self._checksum_slots.release()


def _destination(request: Request, pairs: dict[str, str]) -> Destination:
    fields = {name: request.query_params[name] for name in FIELDS if name in request.query_params}
    fields |= {name: pairs[name] for name in FIELDS if name in pairs}
    if "datasource_name" not in fields:
        raise invalid("Upload-Metadata", "Upload-Metadata has no datasource_name.")
    key = pairs.get("request_id") or request.headers.get("idempotency-key") or request_id(None)
    return destination(fields, key, client_of(request))


def _check_not_ended(upload: Upload) -> None:
    """Raises UPLOAD_EXPIRED if the upload ended before its file was complete, so that clients
    restart it.
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


def _too_many(remaining: int) -> SluiceError:
    return error(
        ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
        f"The request has more bytes than the {remaining:,} that are missing.",
        action="Send the bytes of the file from Upload-Offset on.",
    )


async def _pieces(body: Body, remaining: int) -> AsyncGenerator[bytes, None]:
    size = 0
    while piece := await body.read():
        size += len(piece)
        if size > remaining:
            raise _too_many(remaining)
        yield piece


async def _read_checked(body: Body) -> bytes:
    data = bytearray()
    try:
        async with asyncio.timeout(CHECKED_BODY_S):
            while piece := await body.read():
                data += piece
                if len(data) > MAX_CHECKED_BYTES:
                    text = (
                        f"A request with a checksum may have {MAX_CHECKED_BYTES:,} bytes at most."
                    )
                    raise error(ErrorReason.ERROR_REASON_FILE_TOO_LARGE, text, action=SMALLER)
    except TimeoutError:
        text = f"The body was not complete within {CHECKED_BODY_S:g} seconds."
        raise error(ErrorReason.ERROR_REASON_UPLOAD_STALLED, text, action=SMALLER) from None
    return bytes(data)


async def _one(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data
