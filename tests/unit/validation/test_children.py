"""The processes that read files."""

from pathlib import Path

import psutil

from services.validation.child import Job
from services.validation.children import Children
from sluice.validation.v1.validation_pb2 import Report, ValidateObjectRequest, ValidateObjectResponse, Verdict
from tests.unit.validation.examining import LENIENT, LIMITS, TASK_ID, new_folder
from tests.unit.validation.workbooks import xlsx

TEXT = b"order date,units\n2024-01-02,3\n2024-01-03,4\n"


async def read(children: Children, folder: Path, name: str, data: bytes) -> Report:
    """The report of a file."""
    folder = new_folder(folder)
    source = folder / "source"
    source.write_bytes(data)
    request = ValidateObjectRequest(task_id=TASK_ID, filename=name, file_size=len(data), policy=LENIENT)
    responses = children.examine(Job(request, source, folder, LIMITS, memory_bytes=1024**3, timeout_s=60))
    steps = [step async for step in responses]
    assert isinstance(steps[-1], ValidateObjectResponse)
    return steps[-1].report


def pids() -> set[int]:
    """The processes that this one started and that run."""
    return {child.pid for child in psutil.Process().children() if "services.validation.child" in child.cmdline()}


async def test_a_child_that_read_a_text_reads_the_next_file_and_one_that_read_a_workbook_ends(tmp_path: Path) -> None:
    children = Children(1024**3)
    await children.start()
    try:
        before = pids()
        for _ in range(3):
            report = await read(children, tmp_path, "table.csv", TEXT)
            assert (report.verdict, report.rows_loadable) == (Verdict.VERDICT_PASSED, 2)
            assert pids() == before
        report = await read(children, tmp_path, "table.xlsx", xlsx([["order date", "units"], ["2024-01-02", 3]]))
        assert report.rows_read == 1
        assert not pids() & before
        report = await read(children, tmp_path, "table.csv", TEXT)
        assert report.rows_loadable == 2
    finally:
        await children.stop()
    assert not pids()
