"""Small JSON bodies."""

import json
from typing import Any

from starlette.requests import Request

from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason


async def read_json_body(request: Request, max_bytes: int) -> Any:
    """The body's JSON value. Only application/json is taken: a page of another site cannot send that without being asked first.

    Raises:
        SluiceError: REQUEST_INVALID when it is too long, not JSON, or announced as something else.
        ClientDisconnect: the client went away.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        text = f"The Content-Type is {kind or 'missing'}, not application/json."
        raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column="Content-Type", value=kind)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, f"The request is longer than {max_bytes} bytes.")
    try:
        return json.loads(body)
    except ValueError as failure:
        raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, f"The request is not JSON: {failure}.") from None
