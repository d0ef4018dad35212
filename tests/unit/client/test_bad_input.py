"""What cannot be sent is refused before it is, with a code; names of files that are no text are
sent all the same."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sluice_client import SluiceClient, SluiceClientError
from sluice_client.cli.ending import Exit
from tests.unit.client.test_command_line import Services, Shell, csv, id_of, services, sluice

__all__ = ["csv", "services", "sluice"]
"""Fixtures."""

NOWHERE = "127.0.0.1:9"
LONE = "x\udcff"
"""As Python has an argument whose bytes are no UTF-8."""

HUGE = 2**70


async def _collected(client: SluiceClient) -> None:
    async for _ in client.tasks(datasource=LONE):
        pass


async def _watched(client: SluiceClient) -> None:
    async for _ in client.watch("x", from_sequence=HUGE):
        pass


CALLS: dict[str, Callable[[SluiceClient], Awaitable[object]]] = {
    "upload": lambda client: client.upload(Path(__file__), LONE),
    "upload's name": lambda client: client.upload(Path(__file__), "sales", filename=LONE),
    "upload's id": lambda client: client.upload(Path(__file__), "sales", request_id=LONE),
    "import": lambda client: client.import_object(f"s3://{LONE}", "sales"),
    "abort": lambda client: client.abort_upload(LONE),
    "task": lambda client: client.task(LONE),
    "tasks": _collected,
    "watch": _watched,
    "plan": lambda client: client.plan(LONE),
    "apply": lambda client: client.apply("x", LONE),
    "receipt": lambda client: client.receipt(LONE),
    "revert": lambda client: client.revert(LONE),
    "report": lambda client: client.report(LONE),
    "query": lambda client: client.query(LONE),
    "query's limit": lambda client: client.query("SELECT 1", limit=HUGE),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_what_cannot_be_sent_is_refused(
    call: Callable[[SluiceClient], Awaitable[object]],
) -> None:
    async with SluiceClient(NOWHERE, NOWHERE, NOWHERE, NOWHERE) as client:
        with pytest.raises(SluiceClientError) as refused:
            await call(client)
    assert (refused.value.code, refused.value.actor) == ("REQUEST_INVALID", "you")


@pytest.fixture
def odd(csv: Path) -> Path:
    """A file whose name is not UTF-8."""
    return csv.rename(csv.with_name("m\udce4rz.csv"))


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
async def test_a_file_whose_name_is_no_text_is_sent(
    services: Services, sluice: Shell, odd: Path, as_json: list[str]
) -> None:
    sluice.environment["PYTHONIOENCODING"] = "utf-8:strict"
    ended = await sluice("upload", odd, "-d", "sales", "--watch", *as_json)
    assert (ended.status, ended.err) == (0, "")
    [created] = services.created
    assert created.filename == "m\ufffdrz.csv"
    assert id_of(1) in ended.out
    assert not as_json or ended.documents()[0]["file"] == str(odd)


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
async def test_arguments_that_are_no_text_are_refused(
    sluice: Shell, csv: Path, as_json: list[str]
) -> None:
    sluice.environment["PYTHONIOENCODING"] = "utf-8:strict"
    for command in (
        ["tasks", "-d", LONE],
        ["query", LONE],
        ["report", LONE],
        ["watch", LONE],
        ["upload", csv, "-d", LONE],
    ):
        ended = await sluice(*command, *as_json)
        assert ended.status == Exit.REFUSED, (command, ended.err)
        assert "REQUEST_INVALID" in ended.out + ended.err
        assert "Traceback" not in ended.err
