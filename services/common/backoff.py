"""Pauses between the attempts of a retry loop (docs/adr/0032-backoff.md)."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with jitter. The pause after attempt n (1, 2, ...) is

        min(longest_s, first_s * 2 ** (n - 1)) * uniform(1 - jitter, 1)

    Without jitter, clients that failed at the same moment would all return at the same moment
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    first_s: float
    longest_s: float
    jitter: float = 0.5

    def pause_s(self, attempt: int) -> float:
        """Seconds to wait after `attempt`. Numbers below 1 give fractions of `first_s`."""
        # With the limit of 64, the power stays finite however often a loop retries.
        longest = min(self.longest_s, self.first_s * 2.0 ** min(attempt - 1, 64))
        return longest * random.uniform(1 - self.jitter, 1.0)  # noqa: S311 - not a secret

    def pauses(self) -> Iterator[float]:
        """The pauses after attempts 1, 2, ... without end."""
        return map(self.pause_s, count(1))
