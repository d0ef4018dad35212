"""How many files are received or copied at once: in total and per client, by their number and by
their bytes.

What a file weighs and whose it is, is known only after the status service was asked. Until then a
stream holds no slot, so that streams that are refused keep no good ones out; then its slot is
checked and taken in one step, without an await between.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.common import errors
from services.common.errors import SluiceError
from sluice.common.v1.errors_pb2 import ErrorReason

RETRY_AFTER_S = (3, 12)
"""When a client that was refused may try again, from and to: if all came back at the same moment,
most would be refused again."""

MAX_JUDGED = 256
"""Streams that are judged at once. Each holds an open call and no bytes."""


@dataclass(frozen=True)
class Share:
    """How much may be received at once."""

    uploads: int
    bytes: int


@dataclass(eq=False)
class Slot:
    """One file that is received or copied. `announced`: its size in bytes, 0 where it is not known;
    `received`: bytes so far."""

    client: str
    announced: int
    received: int = 0

    @property
    def bytes(self) -> int:
        """What it counts."""
        return max(self.announced, self.received)


class Admission:
    """The slots of this process."""

    def __init__(self, total: Share, per_client: Share) -> None:
        self._total = total
        self._per_client = per_client
        self._slots: set[Slot] = set()
        self._judged = 0

    @contextmanager
    def judging(self, *, needs_slot: bool = True) -> Iterator[None]:
        """Around what has to be asked before a slot can be taken.

        Raises:
            SluiceError: TOO_MANY_UPLOADS, where every slot is taken or too many streams are being
            judged.
        """
        if needs_slot and len(self._slots) >= self._total.uploads:
            raise _full(self._total.uploads, "")
        if self._judged >= MAX_JUDGED:
            raise too_many("Too many uploads begin at this moment.")
        self._judged += 1
        try:
            yield
        finally:
            self._judged -= 1

    def check(self, client: str, size: int) -> None:
        """Raises TOO_MANY_UPLOADS where `take` would."""
        _check(list(self._slots), size, self._total, "")
        own = [slot for slot in self._slots if slot.client == client]
        _check(own, size, self._per_client, " from one client")

    def take(self, client: str, size: int) -> Slot:
        """A slot for a file of the client with so many bytes, 0 where that is not known; to be
        given back.

        Raises:
            SluiceError: TOO_MANY_UPLOADS.
        """
        self.check(client, size)
        slot = Slot(client, size)
        self._slots.add(slot)
        return slot

    def give_back(self, slot: Slot) -> None:
        """Another file may have it from here on."""
        self._slots.remove(slot)


def too_many(message: str) -> SluiceError:
    """TOO_MANY_UPLOADS with the time after which to try again."""
    wait_s = random.randint(*RETRY_AFTER_S)  # noqa: S311 - jitter
    metadata = {"retry_after_s": str(wait_s)}
    return errors.error(ErrorReason.ERROR_REASON_TOO_MANY_UPLOADS, message, metadata=metadata)


def _check(slots: list[Slot], size: int, share: Share, whose: str) -> None:
    if len(slots) >= share.uploads:
        raise _full(share.uploads, whose)
    received = sum(slot.bytes for slot in slots)
    # One alone is taken, however large: the limit of a file's size is another one.
    if slots and received + size > share.bytes:
        limit = f"The limit of bytes received at once{whose} is {share.bytes:,}"
        raise too_many(f"{limit}; {received:,} are being received.")


def _full(uploads: int, whose: str) -> SluiceError:
    return too_many(f"The limit of concurrent uploads{whose} is reached: {uploads:,}.")
