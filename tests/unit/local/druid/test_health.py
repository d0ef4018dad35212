"""The questions that tell whether Druid is ready, at the moments at which it answers oddly."""

import httpx
import pytest

from local.druid.health import DruidHealth
from local.ports import choose
from local.supervision import loopback


@pytest.mark.parametrize(
    ("rows", "problem"),
    [([], "the broker sees no historical yet"), ([["127.0.0.1:8083"]], None)],
)
def test_a_broker_that_starts_may_answer_with_no_row(
    monkeypatch: pytest.MonkeyPatch, rows: list[list[str]], problem: str | None
) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=rows))
    monkeypatch.setattr(loopback, "client", lambda *_, **__: httpx.Client(transport=transport))
    assert DruidHealth(choose("test")).checks()["druid_router"]() == problem
