"""The pace from the history, and the circuit breaker for Druid."""

import pytest

from services.status.db.queue import Pace, pace
from services.status.pipeline import gate as gates
from services.status.pipeline.gate import PROBES, Gate


@pytest.mark.parametrize(
    ("slope", "intercept", "mean", "expected"),
    [
        (None, None, None, None),
        (2.0, 3.0, 9.0, Pace(3.0, 2.0)),
        (None, None, 9.0, Pace(9.0, 0.0)),
        (-1.0, 20.0, 9.0, Pace(9.0, 0.0)),
        (5.0, -3.0, 9.0, Pace(9.0, 0.0)),
    ],
)
def test_a_pace_has_sense(
    slope: float | None, intercept: float | None, mean: float | None, expected: Pace | None
) -> None:
    assert pace(slope, intercept, mean) == expected


def test_a_pace_grows_with_the_file() -> None:
    assert Pace(3.0, 2.0).of(10) == 23
    assert Pace(3.0, 2.0).of(None) == 3


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(gates, "monotonic", lambda: self.now)


def test_one_try_at_a_time_passes_while_druid_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, gate = Clock(monkeypatch), Gate()
    assert gate.allows()
    assert gate.allows()
    gate.failed()
    gate.failed()  # Of a task that was under way: it does not lengthen the pause.
    assert not gate.allows()
    clock.now += PROBES.first_s
    assert [gate.allows() for _ in range(3)] == [True, False, False]
    assert gate.passed()
    assert [gate.allows() for _ in range(3)] == [True, True, True]
    assert not gate.passed()


def test_the_pauses_grow_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, gate = Clock(monkeypatch), Gate()
    pauses = []
    for _ in range(8):
        gate.failed()
        began = clock.now
        while not gate.allows():
            clock.now += 0.25
        pauses.append(clock.now - began)
        clock.now += PROBES.longest_s
    assert pauses == sorted(pauses)
    assert pauses[-1] == PROBES.longest_s
