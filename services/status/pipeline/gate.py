"""Keeps the workers from trying one load after the other while Druid is away."""

from time import monotonic

from services.common.backoff import Backoff

PROBES = Backoff(first_s=0.5, longest_s=5.0, jitter=0)


class Gate:
    """Open while Druid answers. After a failure it lets one try pass at a time, each after a longer
    pause, until one succeeds.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._next_try = 0.0

    def allows(self) -> bool:
        """Whether a task that needs Druid may be taken now. While Druid is away, asking uses up the
        try.
        """
        if not self._failures:
            return True
        if monotonic() < self._next_try:
            return False
        self._next_try = monotonic() + PROBES.pause_s(self._failures)
        return True

    def failed(self) -> None:
        """Druid did not answer."""
        if monotonic() >= self._next_try or not self._failures:
            self._failures += 1
            self._next_try = monotonic() + PROBES.pause_s(self._failures)

    def passed(self) -> bool:
        """Druid has answered. Whether it was away before."""
        was_away, self._failures = self._failures > 0, 0
        return was_away
