"""Who sends a request: what limits and shares of the pipeline are counted by."""

from starlette.requests import Request

ANONYMOUS = "anonymous"
"""The caller's name where nobody has to sign in."""


def client_of(request: Request) -> str:
    """The name of the sign-in, else the address that the connection comes from. The one place that decides it."""
    caller: str = getattr(request.state, "caller", ANONYMOUS)
    if caller != ANONYMOUS:
        return caller
    return request.client.host if request.client else ""
