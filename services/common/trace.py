"""The W3C trace context of the running call: taken from the caller or begun here, logged in every
line, handed on with every call.
"""

import re
import secrets
from contextvars import ContextVar

HEADER = "traceparent"

_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$")
_trace_id: ContextVar[str] = ContextVar("trace_id", default="")


def begin(traceparent: str | None = None, trace_id: str | None = None) -> str:
    """Sets the trace id of this context: the header's where it is valid, else `trace_id`, else a
    new one. Returns it (32 hex digits).
    """
    match = _TRACEPARENT.match(traceparent or "")
    chosen = match.group(1) if match else trace_id or secrets.token_hex(16)
    _trace_id.set(chosen)
    return chosen


def current() -> str:
    """Trace id of this context, 32 hex digits; empty outside of any call."""
    return _trace_id.get()


def traceparent() -> str:
    """Header value to hand on: the current trace with a new span id."""
    return f"00-{current() or secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
