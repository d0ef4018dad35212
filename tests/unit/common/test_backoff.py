"""The pauses of retry loops."""

from itertools import islice

import pytest

from services.common.backoff import Backoff


def test_pauses_double_up_to_the_longest() -> None:
    assert list(islice(Backoff(0.5, 3, jitter=0).pauses(), 5)) == [0.5, 1, 2, 3, 3]


@pytest.mark.parametrize(("attempt", "longest"), [(-1, 0.125), (0, 0.25), (1, 0.5), (10**9, 3)])
def test_jitter_only_shortens_a_pause(attempt: int, longest: float) -> None:
    pauses = [Backoff(0.5, 3, jitter=0.25).pause_s(attempt) for _ in range(50)]
    assert longest * 0.75 <= min(pauses) < max(pauses) <= longest
