"""The circuit breaker for Druid: no load after the other fails while Druid is unavailable."""

from time import monotonic

from services.common.backoff import Backoff

PROBES = Backoff(first_s=0.5, longest_s=5.0, jitter=0)


class Gate:
    """Open while Druid responds. After a failure, admits one probe at a time with growing pauses,
    until one succeeds.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._next_try = 0.0

    def allows(self) -> bool:
        """Returns whether a task that needs Druid may be claimed now. While Druid is unavailable,
        True uses up the current probe.
        """
        if not self._failures:
            return True
        if monotonic() < self._next_try:
            return False
        self._next_try = monotonic() + PROBES.pause_s(self._failures)
        return True

    def failed(self) -> None:
        """Records that Druid did not respond."""
        if monotonic() >= self._next_try or not self._failures:
            self._failures += 1
            self._next_try = monotonic() + PROBES.pause_s(self._failures)

    def passed(self) -> bool:
        """Records that Druid responded. Returns whether it was unavailable before."""
        was_away, self._failures = self._failures > 0, 0
        return was_away
