"""/api/ingest/uploads: resumable uploads over HTTP by the tus protocol 1.0, on the RPCs of the upload service.

The keys of Upload-Metadata are filename, request_id and the fields of the form, with the meaning that they have there."""

import asyncio
from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway import problems, tus_headers
from gateway.clients import client_of
from gateway.form import Body, Limits, too_large
from gateway.metrics import Metrics
from gateway.ports import Services
from gateway.receiving import Destination, hand_on
from gateway.tus_headers import BODY_TYPE, RESUMABLE, Checksum, invalid
from gateway.uploads_http import FIELDS, destination, request_id
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
"""Longest body whose checksum can be checked: it has to be known before the first byte of it is kept."""

CHECKED_AT_ONCE = 4


def router(services: Services, limits: Limits, metrics: Metrics) -> APIRouter:
    """The routes, on the given services."""
    routes = APIRouter(tags=["ingest"], responses=problems.RESPONSES)
    tus = _Tus(services, limits)

    @routes.api_route(PATH, methods=["POST", "OPTIONS"], include_in_schema=False)
    async def uploads(request: Request) -> Response:
        """tus 1.0: makes a resumable upload. Upload-Length and Upload-Metadata (filename, datasource_name; mode, allow_duplicate,
        request_id) say what comes; the answer's Location is where PATCH, HEAD and DELETE go, and Sluice-Task-Id the task."""
        return await answered(request)

    @routes.api_route(PATH + "/{upload_id}", methods=["POST", "PATCH", "HEAD", "DELETE", "OPTIONS"], include_in_schema=False)
    async def upload(request: Request, upload_id: str) -> Response:
        """tus 1.0: sends (PATCH), looks at (HEAD) or gives up (DELETE) an upload."""
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
        self._checking = asyncio.Semaphore(CHECKED_AT_ONCE)

    async def answer(self, method: str, request: Request, upload_id: str) -> Response:
        if method == "OPTIONS":
            return Response(status_code=204, headers=tus_headers.capabilities(self._limits.file_bytes))
        version = request.headers.get("tus-resumable", "")
        if version != tus_headers.VERSION:
            raise invalid("Tus-Resumable", f"The tus version {version or '(none)'} is not spoken here; {tus_headers.VERSION} is.", version)
        match method, bool(upload_id):
            case "POST", False:
                return await self._create(request)
            case "HEAD", True:
                return await self._look(upload_id)
            case "PATCH", True:
                return await self._append(request, upload_id)
            case "DELETE", True:
                await self._uploads.abort(upload_id)
                return Response(status_code=204, headers=RESUMABLE)
        raise error(ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED, f"{method} is not possible here.")

    async def _create(self, request: Request) -> Response:
        if "upload-length" not in request.headers:
            raise invalid("Upload-Length", "Upload-Length is missing; uploads of a length that is not known yet are not taken.")
        length = tus_headers.size(request.headers, "Upload-Length")
        if length > self._limits.file_bytes:
            raise too_large(self._limits.file_bytes)
        said = request.headers.get("upload-metadata", "")
        pairs = tus_headers.metadata(said)
        filename = pairs.get("filename") or pairs.get("name", "")
        if not filename:
            raise invalid("Upload-Metadata", "Upload-Metadata has no filename.")
        wanted = _destination(request, pairs)
        made = await self._uploads.create(wanted.request(filename, UploadMode.UPLOAD_MODE_RESUMABLE, size=length, client_metadata=said))
        upload = made.upload
        logs.bind(task_id=upload.upload_id)
        _check_not_ended(upload)
        headers = {"Location": f"{PATH}/{upload.upload_id}", "Sluice-Task-Id": upload.upload_id}
        if request.headers.get("content-type", "") == BODY_TYPE:
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
        upload = await self._uploads.get(upload_id)
        _check_not_ended(upload)
        if upload.state == TaskState.TASK_STATE_PENDING and upload.size == upload.committed_size:
            # All bytes are there and the end could not be told: to the client the upload would look complete.
            upload = await hand_on(self._uploads, upload_id, _one(b""), offset=upload.committed_size, size=upload.size)
        headers = {"Upload-Offset": str(upload.committed_size), "Upload-Length": str(upload.size), "Sluice-Task-Id": upload_id}
        if upload.client_metadata:
            headers["Upload-Metadata"] = upload.client_metadata
        return Response(status_code=200, headers={**RESUMABLE, **headers, "Cache-Control": "no-store", **_expiry(upload)})

    async def _append(self, request: Request, upload_id: str) -> Response:
        if request.headers.get("content-type", "") != BODY_TYPE:
            raise invalid("Content-Type", f"The Content-Type of a PATCH must be {BODY_TYPE}.", request.headers.get("content-type", ""))
        offset = tus_headers.size(request.headers, "Upload-Offset")
        logs.bind(task_id=upload_id)
        upload = await self._uploads.get(upload_id)
        _check_not_ended(upload)
        if upload.state != TaskState.TASK_STATE_PENDING and offset != upload.committed_size:
            text = f"The upload is complete with {upload.committed_size:,} bytes."
            raise error(ErrorReason.ERROR_REASON_OFFSET_MISMATCH, text, metadata={"expected_offset": str(upload.committed_size)})
        if upload.state == TaskState.TASK_STATE_PENDING:
            upload = await self._receive(request, upload_id, offset, upload.size)
        return Response(status_code=204, headers={**RESUMABLE, "Upload-Offset": str(upload.committed_size), **_expiry(upload)})

    async def _receive(self, request: Request, upload_id: str, offset: int, length: int) -> Upload:
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and offset + int(announced) > length:
            raise _too_many(length)
        body = Body(request.receive, self._limits)
        checksum = request.headers.get("upload-checksum")
        if checksum is None:
            return await hand_on(self._uploads, upload_id, _pieces(body, length - offset), offset=offset, size=length)
        expected = Checksum.of(checksum)
        async with self._checking:
            data = await _whole(body)
            await asyncio.to_thread(expected.check, data)
            return await hand_on(self._uploads, upload_id, _one(data), offset=offset, size=length)


def _destination(request: Request, pairs: dict[str, str]) -> Destination:
    fields = {name: request.query_params[name] for name in FIELDS if name in request.query_params}
    fields |= {name: pairs[name] for name in FIELDS if name in pairs}
    if "datasource_name" not in fields:
        raise invalid("Upload-Metadata", "Upload-Metadata has no datasource_name.")
    key = pairs.get("request_id") or request.headers.get("idempotency-key") or request_id(None)
    return destination(fields, key, client_of(request))


def _check_not_ended(upload: Upload) -> None:
    """Raises the reason for which the upload ended before its file was whole; as UPLOAD_EXPIRED, so that clients begin anew."""
    if upload.state in task_states.TERMINAL and upload.problem.code and not upload.committed_size:
        if upload.problem.code == ErrorReason.ERROR_REASON_UPLOAD_EXPIRED:
            raise SluiceError(upload.problem)
        text = f"The upload has ended. {upload.problem.message}"
        raise error(ErrorReason.ERROR_REASON_UPLOAD_EXPIRED, text, action=upload.problem.action)


def _expiry(upload: Upload) -> dict[str, str]:
    return {"Upload-Expires": tus_headers.http_date(upload.expire_time)} if upload.HasField("expire_time") else {}


def _too_many(length: int) -> SluiceError:
    text = f"The request has more bytes than are missing of the {length:,} that were announced."
    return error(ErrorReason.ERROR_REASON_FILE_TOO_LARGE, text, action="Send the bytes of the file from Upload-Offset on.")


async def _pieces(body: Body, most: int) -> AsyncGenerator[bytes, None]:
    size = 0
    while piece := await body.read():
        size += len(piece)
        if size > most:
            raise _too_many(most)
        yield piece


async def _whole(body: Body) -> bytes:
    data = bytearray()
    while piece := await body.read():
        data += piece
        if len(data) > MAX_CHECKED_BYTES:
            text = f"The checksum of a request of more than {MAX_CHECKED_BYTES:,} bytes cannot be checked."
            raise error(
                ErrorReason.ERROR_REASON_FILE_TOO_LARGE, text, action="Send the file in smaller chunks, or without Upload-Checksum."
            )
    return bytes(data)


async def _one(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data
