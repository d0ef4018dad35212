"""Describes Druid's progress in making a load's segments available, or its standstill."""

from time import monotonic

from sluice.druid.v1.druid_pb2 import VerifyLoadResponse

STILL_S = 60.0
"""Seconds without a newly available segment that are reported as a standstill."""


class Standstill:
    """The availability of one load's segments over time."""

    def __init__(self) -> None:
        self._available = -1
        self._since = 0.0

    def describe(self, seen: VerifyLoadResponse) -> str:
        """Returns the message of the load's progress. It changes every minute of a standstill."""
        now = monotonic()
        if seen.segments_available != self._available:
            self._available, self._since = seen.segments_available, now
        if now - self._since < STILL_S:
            return f"The rows are becoming visible to queries; {_segments(seen)}."
        minutes = int((now - self._since) // 60)
        still = f"No segment has become available for {minutes} minute{'s' if minutes > 1 else ''}"
        return f"{still}; {_segments(seen)}. {_awaited(seen)}"


def _segments(seen: VerifyLoadResponse) -> str:
    return f"of {seen.segments_published:,} segments published there {seen.segments_available:,} are available"


def _awaited(seen: VerifyLoadResponse) -> str:
    if not seen.segments_published:
        return (
            "Druid is waiting for its coordinator to find the new segments in the metadata store: "
            "an administrator should check that both answer."
        )
    if missing := seen.segments_published - seen.segments_available:
        return (
            f"Druid is waiting for a historical to load {missing:,} of them: an administrator should "
            "check that every historical runs, answers and has space."
        )
    return "Druid is waiting for its broker to include them in queries: an administrator should check that it reaches every historical."
