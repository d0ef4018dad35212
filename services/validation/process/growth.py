"""How much of a file is there while it still arrives. Used in the child, whose parent writes the
file and tells how far it is.
"""

from threading import Condition

from sluice.validation.v1.validation_pb2 import ValidateObjectRequest


class Growth:
    """Bytes of the source that may be read. Told by one thread, waited for by others."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._size = 0
        self._request: ValidateObjectRequest | None = None

    def grow(self, size: int) -> None:
        """`size` bytes are there."""
        with self._changed:
            self._size = size
            self._changed.notify_all()

    def complete(self, request: ValidateObjectRequest) -> None:
        """All bytes are there; `request` says what to do with them."""
        with self._changed:
            self._request = request
            self._changed.notify_all()

    @property
    def is_complete(self) -> bool:
        return self._request is not None

    def wait(self, size: int) -> int:
        """Returns once `size` bytes are there, or all: how many there are."""
        with self._changed:
            self._changed.wait_for(lambda: self._size >= size or self._request is not None)
            return self._size

    def wait_complete(self) -> ValidateObjectRequest:
        """Returns once all bytes are there."""
        with self._changed:
            self._changed.wait_for(lambda: self._request is not None)
            if self._request is None:
                raise RuntimeError("waited for a request and there is none")
            return self._request
