"""Poll intervals, by how long something has been polled."""

FAST_S = 0.05
"""Seconds between polls at first: a small load takes less than a second."""
FAST_FOR_S = 5.0
SLOWEST_S = 2.0


def pause_s(age_s: float) -> float:
    """Return the seconds until the next poll: 50 ms for 5 s, then 4 % of the age, 0.2 s to 2 s."""
    return FAST_S if age_s < FAST_FOR_S else min(SLOWEST_S, age_s / 25)
