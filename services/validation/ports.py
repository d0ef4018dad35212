"""What validation requires from outside."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol


class ObjectStore(Protocol):
    """The object store.

    All methods but `check` raise SluiceError STORAGE_UNAVAILABLE if it fails or does not respond.
    """

    async def check(self) -> None:
        """Checks that the bucket responds; raises any error."""

    def uri(self, key: str) -> str:
        """URI of a key: s3://bucket/key."""

    async def size(self, uri: str) -> int | None:
        """Size of an object in bytes; None if it does not exist."""

    def read(self, uri: str, start: int = 0) -> AsyncGenerator[bytes, None]:
        """Reads an object from byte `start`, in pieces of at most 1 MiB.

        Raises:
            KeyError: the object does not exist.
        """

    async def put(self, key: str, data: bytes) -> None:
        """Stores a small object."""

    async def put_file(self, key: str, path: Path) -> None:
        """Stores a file in bounded memory."""

    async def delete_below(self, prefix: str) -> int:
        """Deletes all objects whose keys begin with `prefix`. Returns their number."""
