"""Removing what a bad end leaves in the object store, now or, where the store is away, later."""

import asyncio
from dataclasses import dataclass

from services.common import logs
from services.common.errors import SluiceError
from services.upload.ports import ObjectStore
from services.upload.storing.stored import TAILS

REMOVAL_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Leftover:
    """What may be in the store of one file: a multipart upload (where `multipart_id` is not empty),
    the object, and the tails of the task whose id is in `tails`.
    """

    uri: str
    multipart_id: str = ""
    object: bool = False
    tails: str = ""


class Cleanup:
    """Removes leftovers. What cannot be removed is kept in mind for `retry`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._kept: set[Leftover] = set()

    async def remove(self, leftover: Leftover) -> bool:
        """Whether it is gone; within 10 s."""
        try:
            async with asyncio.timeout(REMOVAL_TIMEOUT_S):
                if leftover.multipart_id:
                    await self._store.abort_multipart(leftover.uri, leftover.multipart_id)
                if leftover.object:
                    await self._store.delete(leftover.uri)
                if leftover.tails:
                    for uri in await self._store.uris(f"{TAILS}{leftover.tails}/"):
                        await self._store.delete(uri)
        except (SluiceError, TimeoutError) as failure:
            logs.get().warning(
                "cleanup.postponed", uri=leftover.uri, reason=str(failure) or "timeout"
            )
            self._kept.add(leftover)
            return False
        self._kept.discard(leftover)
        return True

    def keep(self, leftover: Leftover) -> None:
        """Removes it at the next `retry` too: the store may still be at work on a request whose
        answer was lost.
        """
        self._kept.add(leftover)

    async def retry(self) -> None:
        """Tries to remove everything that is kept in mind."""
        for leftover in list(self._kept):
            await self.remove(leftover)
