"""What validation needs of the world outside."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol


class ObjectStore(Protocol):
    """The object store. All methods raise SluiceError STORAGE_UNAVAILABLE where it does not answer
    or refuses.
    """

    async def check(self) -> None:
        """Returns where the bucket answers; raises whatever it raises else."""
        ...

    def uri(self, key: str) -> str:
        """s3://bucket/key."""
        ...

    async def size(self, uri: str) -> int | None:
        """Bytes of an object; None where there is none."""
        ...

    def read(self, uri: str, start: int = 0) -> AsyncGenerator[bytes, None]:
        """The object's bytes from `start`, in pieces of at most 1 MiB. Raises KeyError where there
        is no object.
        """
        ...

    async def put(self, key: str, data: bytes) -> None:
        """Stores a small object."""
        ...

    async def put_file(self, key: str, path: Path) -> None:
        """Stores a file, with bounded memory."""
        ...

    async def delete_below(self, prefix: str) -> int:
        """Deletes every object whose key begins with `prefix`; how many there were."""
        ...
