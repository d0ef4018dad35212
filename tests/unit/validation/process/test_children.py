"""The processes that read files."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import psutil
import pytest

from services.validation.process.child import Job
from services.validation.process.children import (
    ChildLostError,
    Children,
    Growing,
    InspectionDroppedError,
    Step,
)
from sluice.validation.v1.validation_pb2 import (
    Report,
    ValidateObjectRequest,
    ValidateObjectResponse,
    Verdict,
)
from tests.unit.validation.examining import LENIENT, LIMITS, TASK_ID, new_folder
from tests.unit.validation.workbooks import xlsx

TEXT = b"order date,units\n2024-01-02,3\n2024-01-03,4\n"
MUCH = 1024**3
LITTLE = 1024**2
"""Less than a child takes that does nothing."""


def job_of(
    folder: Path,
    data: bytes = TEXT,
    name: str = "table.csv",
    memory_bytes: int = MUCH,
) -> Job:
    """What a child is to do with a file."""
    folder = new_folder(folder)
    source = folder / "source"
    source.write_bytes(data)
    request = ValidateObjectRequest(
        task_id=TASK_ID, filename=name, file_size=len(data), policy=LENIENT
    )
    return Job(request, source, folder, LIMITS, memory_bytes=memory_bytes, timeout_s=60)


async def report_of(steps: AsyncGenerator[Step, None]) -> Report:
    """What the last step says."""
    async with aclosing(steps):
        said = [step async for step in steps]
    assert isinstance(said[-1], ValidateObjectResponse)
    return said[-1].report


async def read(children: Children, folder: Path, name: str, data: bytes) -> Report:
    """The report of a file."""
    return await report_of(children.examine(job_of(folder, data, name)))


def pids() -> set[int]:
    """The processes that this one started and that run."""
    return {child.pid for child in psutil.Process().children() if _reads_files(child)}


def _reads_files(child: psutil.Process) -> bool:
    try:
        return "services.validation.process.child" in child.cmdline()
    except psutil.Error:
        return False


async def test_a_child_that_read_a_text_reads_the_next_file_and_one_that_read_a_workbook_ends(
    tmp_path: Path,
) -> None:
    children = Children(1024**3)
    await children.start()
    try:
        before = pids()
        for _ in range(3):
            report = await read(children, tmp_path, "table.csv", TEXT)
            assert (report.verdict, report.rows_loadable) == (Verdict.VERDICT_PASSED, 2)
            assert pids() == before
        report = await read(
            children, tmp_path, "table.xlsx", xlsx([["order date", "units"], ["2024-01-02", 3]])
        )
        assert report.rows_read == 1
        assert not pids() & before
        report = await read(children, tmp_path, "table.csv", TEXT)
        assert report.rows_loadable == 2
    finally:
        await children.stop()
    assert not pids()


class Counted(Children):
    """Children that remember how many others read a file when each of them began to."""

    def __init__(self, alone_bytes: int = 0) -> None:
        super().__init__(1024**3, alone_bytes)
        self.beside: list[int] = []

    async def _examine(
        self,
        job: Job,
        growing: Growing | None = None,
    ) -> AsyncGenerator[Step, None]:
        self.beside.append(len(self._running))
        async with aclosing(super()._examine(job, growing)) as steps:
            async for step in steps:
                yield step

    @classmethod
    @asynccontextmanager
    async def started(cls, alone_bytes: int = 0) -> AsyncIterator["Counted"]:
        children = cls(alone_bytes)
        await children.start()
        try:
            yield children
        finally:
            await children.stop()
        assert not pids()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - processes set no event
        await asyncio.sleep(0.01)


async def the_idle_one() -> int:
    # Until it runs our program it looks like ourselves.
    await until(lambda: bool(pids()))
    (idle,) = pids()
    return idle


async def stopped_at_work(children: Counted, work: "asyncio.Task[Report]", idle: int) -> None:
    """Returns once the idle child, which is stopped, has the file."""
    begun = len(children.beside)
    os.kill(idle, signal.SIGSTOP)
    await until(lambda: len(children.beside) > begun or work.done())


async def test_a_file_whose_child_is_killed_once_is_read_all_the_same(tmp_path: Path) -> None:
    async with Counted.started() as children:
        idle = await the_idle_one()
        job = job_of(tmp_path)
        # What a child that is killed may leave behind.
        (job.folder / "parts").mkdir()
        (job.folder / "broken.csv").write_bytes(b"half a line")
        reading = asyncio.create_task(report_of(children.examine(job)))
        await stopped_at_work(children, reading, idle)
        os.kill(idle, signal.SIGKILL)
        report = await reading
        assert (report.verdict, report.rows_loadable) == (Verdict.VERDICT_PASSED, 2)
        assert children.beside == [0, 0]


async def test_a_file_whose_child_is_killed_twice_is_at_fault_and_is_not_read_again(
    tmp_path: Path,
) -> None:
    async with Counted.started() as children:
        idle = await the_idle_one()
        reading = asyncio.create_task(report_of(children.examine(job_of(tmp_path))))
        await stopped_at_work(children, reading, idle)
        killed: set[int] = set()
        while not reading.done():
            for pid in pids() - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            await asyncio.sleep(0.01)
        with pytest.raises(ChildLostError, match="more memory than there is"):
            await reading
        assert children.beside == [0, 0]
        assert (await read(children, tmp_path, "table.csv", TEXT)).rows_loadable == 2


async def test_the_second_try_waits_until_no_other_file_is_read_and_later_ones_wait_for_it(
    tmp_path: Path,
) -> None:
    async with Counted.started() as children:
        first = await the_idle_one()
        crowded = asyncio.create_task(report_of(children.examine(job_of(tmp_path))))
        await stopped_at_work(children, crowded, first)
        other = asyncio.create_task(report_of(children.examine(job_of(tmp_path))))
        await until(lambda: bool(pids() - {first}))
        (second,) = pids() - {first}
        os.kill(second, signal.SIGSTOP)
        os.kill(first, signal.SIGKILL)
        await until(lambda: children._gate.is_wanted_alone)
        late = asyncio.create_task(report_of(children.examine(job_of(tmp_path))))
        done, _ = await asyncio.wait({crowded, other, late}, timeout=0.5)
        assert not done
        assert children.beside == [0, 1]
        os.kill(second, signal.SIGCONT)
        reports = await asyncio.gather(other, crowded, late)
        assert [report.rows_loadable for report in reports] == [2, 2, 2]
        assert children.beside == [0, 1, 0, 0]


async def test_a_file_that_needs_more_than_its_share_gets_all_of_it_alone(tmp_path: Path) -> None:
    async with Counted.started(alone_bytes=MUCH) as children:
        report = await report_of(children.examine(job_of(tmp_path, memory_bytes=LITTLE)))
        assert report.rows_loadable == 2
        assert children.beside == [0, 0]


@pytest.mark.parametrize(("alone_bytes", "tries"), [(0, 1), (LITTLE, 1), (2 * LITTLE, 2)])
async def test_a_file_that_needs_more_than_there_is_is_at_fault(
    tmp_path: Path,
    alone_bytes: int,
    tries: int,
) -> None:
    async with Counted.started(alone_bytes) as children:
        with pytest.raises(ChildLostError, match=f"more than {tries} MiB of memory"):
            await report_of(children.examine(job_of(tmp_path, memory_bytes=LITTLE)))
        assert len(children.beside) == tries


def arriving(folder: Path) -> Job:
    """A file of which all bytes are there, but its child is not told so yet."""
    job = job_of(folder)
    return Job(**{**job.__dict__, "growing": True})


async def test_a_file_that_still_arrives_is_dropped_when_another_has_to_be_alone(
    tmp_path: Path,
) -> None:
    async with Counted.started(alone_bytes=MUCH) as children:
        growing = Growing(MUCH)
        inspecting = asyncio.create_task(report_of(children.examine(arriving(tmp_path), growing)))
        await until(lambda: len(children._running) == 1)
        report = await report_of(children.examine(job_of(tmp_path, memory_bytes=LITTLE)))
        assert report.rows_loadable == 2
        with pytest.raises(InspectionDroppedError):
            await inspecting
        assert children.beside == [0, 1, 0]


@pytest.mark.parametrize("killed", [False, True])
async def test_a_file_that_still_arrives_is_never_at_fault_for_the_memory(
    tmp_path: Path,
    killed: bool,
) -> None:
    async with Counted.started() as children:
        idle = await the_idle_one()
        growing = Growing(MUCH if killed else LITTLE)
        inspecting = asyncio.create_task(report_of(children.examine(arriving(tmp_path), growing)))
        if killed:
            await stopped_at_work(children, inspecting, idle)
            os.kill(idle, signal.SIGKILL)
        with pytest.raises(InspectionDroppedError):
            await inspecting
        assert children.beside == [0]


async def test_once_it_is_complete_it_has_the_memory_of_any_file(tmp_path: Path) -> None:
    async with Counted.started() as children:
        job = arriving(tmp_path)
        growing = Growing(LITTLE)
        growing.grow(len(TEXT))
        growing.finish(job.request)
        assert (await report_of(children.examine(job, growing))).rows_loadable == 2


async def test_the_kernel_is_to_end_a_child_before_the_service() -> None:
    async with Counted.started():
        idle = await the_idle_one()
        score = Path(f"/proc/{idle}/oom_score_adj")
        await until(lambda: score.read_text() == "1000\n")
