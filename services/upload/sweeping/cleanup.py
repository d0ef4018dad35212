"""Removes leftovers of failed uploads from the object store: now, or later if it is unavailable."""

import asyncio
from dataclasses import dataclass

from services.common import logs
from services.common.errors import SluiceError
from services.upload.ports import ObjectStore
from services.upload.storing.stored import TAILS

REMOVAL_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Leftover:
    """What may remain of a file: a multipart upload (if `multipart_id` is set), the object, and the
    tails of the task whose id is in `tails`.
    """

    uri: str
    multipart_id: str = ""
    object: bool = False
    tails: str = ""


class Cleanup:
    """Removes leftovers. Those that it cannot remove are left for `retry`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._postponed: set[Leftover] = set()

    async def remove(self, leftover: Leftover) -> bool:
        """Remove a leftover within 10 s. Return whether it is gone."""
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
            self._postponed.add(leftover)
            return False
        self._postponed.discard(leftover)
        return True

    def retry_later(self, leftover: Leftover) -> None:
        """Remove it again at the next `retry`: a request whose response was lost may still run."""
        self._postponed.add(leftover)

    async def retry(self) -> None:
        """Remove all postponed leftovers."""
        for leftover in list(self._postponed):
            await self.remove(leftover)
