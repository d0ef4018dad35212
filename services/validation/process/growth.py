"""The size of a growing file. The parent writes the file and sends its size to the child."""

from threading import Condition

from sluice.validation.v1.validation_pb2 import ValidateObjectRequest


class Growth:
    """Bytes of the source that can be read. One thread sets it; others wait for it."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._size = 0
        self._request: ValidateObjectRequest | None = None

    def grow(self, size: int) -> None:
        """Sets the size."""
        with self._changed:
            self._size = size
            self._changed.notify_all()

    def complete(self, request: ValidateObjectRequest) -> None:
        """Marks the file as complete. `request` is the request to validate it."""
        with self._changed:
            self._request = request
            self._changed.notify_all()

    @property
    def is_complete(self) -> bool:
        return self._request is not None

    def wait(self, size: int) -> int:
        """Waits for `size` bytes, or the complete file. Returns the current size."""
        with self._changed:
            self._changed.wait_for(lambda: self._size >= size or self._request is not None)
            return self._size

    def wait_complete(self) -> ValidateObjectRequest:
        """Waits for the complete file."""
        with self._changed:
            self._changed.wait_for(lambda: self._request is not None)
            if self._request is None:
                raise RuntimeError("the file is complete but has no request")
            return self._request
