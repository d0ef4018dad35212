"""Which Host headers are answered to, and which pages may change something from a browser."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Allowed:
    """The allow-lists. Without them, a page of any site could reach a server on this machine
    through the browser of its user.
    """

    hosts: tuple[str, ...]
    origins: tuple[str, ...]

    def check_host(self, host: str) -> None:
        """`host` is the Host header, with or without a port.

        Raises:
            SluiceError: HOST_NOT_ALLOWED.
        """
        if _name(host) not in {name.lower() for name in self.hosts}:
            text = f"This server does not answer to the host {host[:200] or '(none)'}."
            raise error(ErrorReason.ERROR_REASON_HOST_NOT_ALLOWED, text, column="Host", value=host)

    def check_origin(self, origin: str | None, host: str) -> None:
        """`origin` is the Origin header, which browsers send and other clients do not. `host` is
        the Host header.

        Raises:
            SluiceError: ORIGIN_NOT_ALLOWED.
        """
        if origin is None or origin in self.origins or _same(origin, host):
            return
        text = f"A page of {origin[:200]} may not do this here."
        raise error(
            ErrorReason.ERROR_REASON_ORIGIN_NOT_ALLOWED, text, column="Origin", value=origin
        )


def _name(host: str) -> str:
    """The name without its port; an IPv6 address keeps its brackets."""
    name, colon, port = host.lower().rpartition(":")
    return (
        name
        if colon and port.isdigit() and (not name.count(":") or name.endswith("]"))
        else host.lower()
    )


def _same(origin: str, host: str) -> bool:
    """Whether the page came from the host that it calls. The scheme is not compared, as a proxy in
    front of us may end TLS.
    """
    try:
        page = urlsplit(origin)
        if page.scheme not in _DEFAULT_PORTS or not page.hostname:
            return False
        target = urlsplit(f"{page.scheme}://{host}")
        default = _DEFAULT_PORTS[page.scheme]
        return (page.hostname, page.port or default) == (target.hostname, target.port or default)
    except ValueError:
        return False
