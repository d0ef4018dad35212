"""Where a file goes and how: the fields of a form, of tus metadata or of a mutation."""

import re
import uuid

from gateway.documents import wire
from gateway.documents.options import read_options
from gateway.intake.receiving import Destination
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, TimeRange

FIELDS = ("datasource_name", "mode", "interval", "apply", "allow_duplicate", "options")
"""Names of the fields, also as query parameters and keys of Upload-Metadata."""

_REQUEST_ID = re.compile(r"[!-~]{1,128}")


def request_id(idempotency_key: str | None) -> str:
    """The client's id of the request, else a new one.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    if idempotency_key is None:
        return str(uuid.uuid4())
    if not _REQUEST_ID.fullmatch(idempotency_key):
        text = "Idempotency-Key must be 1 to 128 visible ASCII characters."
        raise error(
            ErrorReason.ERROR_REASON_REQUEST_INVALID,
            text,
            column="Idempotency-Key",
            value=idempotency_key,
        )
    return idempotency_key


def destination(
    fields: dict[str, str], idempotency_key: str | None, client: str = ""
) -> Destination:
    """Parse the fields of a form.

    Raises:
        SluiceError: REQUEST_INVALID with the field.
    """
    mode = wire.load_mode(fields.get("mode") or "append")
    return Destination(
        request_id=request_id(idempotency_key),
        datasource=fields["datasource_name"],
        mode=mode,
        replace=replaced(mode, fields.get("interval") or ""),
        plan_first=not _flag("apply", fields.get("apply") or "true"),
        allow_duplicate=_flag("allow_duplicate", fields.get("allow_duplicate") or "false"),
        options=read_options(fields.get("options")),
        client=client,
    )


def replaced(mode: "LoadMode.ValueType", interval: str) -> TimeRange | None:
    """Parse the interval of REPLACE_INTERVAL; None in every other mode.

    Raises:
        SluiceError: REQUEST_INVALID, also if only one of mode and interval requires the other.
    """
    if bool(interval) == (mode == LoadMode.LOAD_MODE_REPLACE_INTERVAL):
        return wire.interval(interval) if interval else None
    text = "interval and the mode replace_interval require each other."
    raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column="interval", value=interval)


def _flag(name: str, value: str) -> bool:
    match value.lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off":
            return False
    text = f"{name} must be true or false."
    raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column=name, value=value)
