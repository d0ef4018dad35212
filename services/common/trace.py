"""The W3C trace context of the current call (https://www.w3.org/TR/trace-context/).

It is taken from the caller or started here, is in every log line, and is sent with every call.
"""

import re
import secrets
from contextvars import ContextVar

HEADER = "traceparent"

_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$")
_trace_id: ContextVar[str] = ContextVar("trace_id", default="")


def begin(traceparent: str | None = None, trace_id: str | None = None) -> str:
    """Set and return the trace id of this context (32 hex digits).

    It comes from the header if that is valid, else from `trace_id`, else it is new.
    """
    match = _TRACEPARENT.match(traceparent or "")
    chosen = match.group(1) if match else trace_id or secrets.token_hex(16)
    _trace_id.set(chosen)
    return chosen


def current() -> str:
    """Return the trace id of this context, 32 hex digits; empty outside of calls."""
    return _trace_id.get()


def traceparent() -> str:
    """Return the header value for outgoing calls: the current trace with a new span id."""
    return f"00-{current() or secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
