"""Concurrency limits for uploads and imports: in total and per client, by number and bytes.

The status service knows the size and client of an upload. While a stream waits for its response, it
has no slot, so that streams that are rejected do not block others. After that, the slot is checked
and taken in one step, without an await in between.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.common import errors
from services.common.errors import SluiceError
from sluice.common.v1.errors_pb2 import ErrorReason

RETRY_AFTER_S = (3, 12)
"""Range of the seconds after which a rejected client may retry. It is random, so that not all retry
at the same time.
"""

MAX_WAITING = 256
"""Concurrency limit of streams that wait for a slot. Each has an open call and no bytes."""


@dataclass(frozen=True)
class Limits:
    """Limits of concurrent uploads: their number and total bytes."""

    uploads: int
    bytes: int


@dataclass(eq=False)
class Slot:
    """The slot of a file. `announced`: size in bytes, 0 if unknown; `received`: bytes so far."""

    client: str
    announced: int
    received: int = 0

    @property
    def bytes(self) -> int:
        """Bytes that count towards the limits."""
        return max(self.announced, self.received)


class Admission:
    """The slots of this process."""

    def __init__(self, total: Limits, per_client: Limits) -> None:
        self._total = total
        self._per_client = per_client
        self._slots: set[Slot] = set()
        self._waiting = 0

    @contextmanager
    def waiting(self, *, needs_slot: bool = True) -> Iterator[None]:
        """Wrap the calls that are necessary before a slot can be taken.

        Raises:
            SluiceError: TOO_MANY_UPLOADS, if all slots are taken or too many streams wait for one.
        """
        if needs_slot and len(self._slots) >= self._total.uploads:
            raise _full(self._total.uploads, "")
        if self._waiting >= MAX_WAITING:
            raise too_many("Too many uploads are starting.")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def check(self, client: str, size: int) -> None:
        """Raise TOO_MANY_UPLOADS if `take` would."""
        _check(list(self._slots), size, self._total, "")
        own = [slot for slot in self._slots if slot.client == client]
        _check(own, size, self._per_client, " from one client")

    def take(self, client: str, size: int) -> Slot:
        """Take a slot for a file of `size` bytes (0 if unknown). The caller must give it back.

        Raises:
            SluiceError: TOO_MANY_UPLOADS.
        """
        self.check(client, size)
        slot = Slot(client, size)
        self._slots.add(slot)
        return slot

    def give_back(self, slot: Slot) -> None:
        """Release the slot."""
        self._slots.remove(slot)


def too_many(message: str) -> SluiceError:
    """Create TOO_MANY_UPLOADS with `retry_after_s`."""
    wait_s = random.randint(*RETRY_AFTER_S)  # noqa: S311 - jitter
    metadata = {"retry_after_s": str(wait_s)}
    return errors.error(ErrorReason.ERROR_REASON_TOO_MANY_UPLOADS, message, metadata=metadata)


def _check(slots: list[Slot], size: int, limits: Limits, whose: str) -> None:
    if len(slots) >= limits.uploads:
        raise _full(limits.uploads, whose)
    received = sum(slot.bytes for slot in slots)
    # A single file is accepted whatever its size; MAX_FILE_SIZE_BYTES limits that.
    if slots and received + size > limits.bytes:
        limit = f"The limit of bytes received at once{whose} is {limits.bytes:,}"
        raise too_many(f"{limit}; {received:,} are being received.")


def _full(uploads: int, whose: str) -> SluiceError:
    return too_many(f"The limit of concurrent uploads{whose} is reached: {uploads:,}.")
