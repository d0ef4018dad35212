"""Allow-lists of Host headers and of origins that may send changes from a browser."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Allowed:
    """The allow-lists. Without them, a page of any site could reach a server on this machine
    through the user's browser.
    """

    hosts: tuple[str, ...]
    origins: tuple[str, ...]

    def check_host(self, host: str) -> None:
        """Check the Host header, with or without a port.

        Raises:
            SluiceError: HOST_NOT_ALLOWED.
        """
        if _name(host) not in {name.lower() for name in self.hosts}:
            text = f"Host not allowed: {host[:200] or '(none)'}."
            raise error(ErrorReason.ERROR_REASON_HOST_NOT_ALLOWED, text, column="Host", value=host)

    def check_origin(self, origin: str | None, host: str) -> None:
        """Check the Origin header, which only browsers send, against the Host header.

        Raises:
            SluiceError: ORIGIN_NOT_ALLOWED.
        """
        if origin is None or origin in self.origins or _is_same_host(origin, host):
            return
        text = f"Origin not allowed: {origin[:200]}."
        raise error(
            ErrorReason.ERROR_REASON_ORIGIN_NOT_ALLOWED, text, column="Origin", value=origin
        )


def _name(host: str) -> str:
    """The host without its port; an IPv6 address keeps its brackets."""
    name, colon, port = host.lower().rpartition(":")
    return (
        name
        if colon and port.isdigit() and (not name.count(":") or name.endswith("]"))
        else host.lower()
    )


def _is_same_host(origin: str, host: str) -> bool:
    """Whether a page calls the host that served it. The schemes may differ, because a proxy may
    terminate TLS.
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
