"""The validation service: the object store and the child that reads the file fail it."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from services.common import errors
from services.validation.process.child import Job
from services.validation.process.children import ChildLostError
from services.validation.process.inspections import Inspections
from services.validation.process.limits import Limits
from services.validation.process.spool import Spool
from services.validation.validation import Validation
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import (
    Part,
    Report,
    ValidateObjectRequest,
    ValidateObjectResponse,
    ValidationProgress,
    Verdict,
)
from tests.unit.calls.failing import S3, Boundary, Failing, Kind, Plan, Stage, hold

TASK_ID = "00000000-0000-4000-8000-000000000001"
SOURCE = "s3://bucket/uploads/sales/a.csv"
DATA = b"date,amount\n2026-01-01,3\n" * 50_000
ROWS = b"__time,amount\n1767225600000,3\n"
MOST_ATTEMPTS = 5

CHILD: Boundary = {
    Kind.REFUSED: lambda: OSError("no process can be started"),
    Kind.TIMEOUT: lambda: ChildLostError("Reading the file took more than 900 seconds."),
    Kind.RESET: lambda: ChildLostError("Reading the file ended the process that read it."),
    Kind.SERVER_ERROR: lambda: errors.error(
        ErrorReason.ERROR_REASON_INTERNAL, "Reading the file failed on our side."
    ),
    Kind.GARBAGE: lambda: ValueError("a message that cannot be decoded"),
}


class _Store:
    """ports.ObjectStore. A read whose answer is garbage gives other bytes than the object has."""

    def __init__(self) -> None:
        self.objects = {SOURCE: DATA}

    async def size(self, uri: str) -> int | None:
        return len(self.objects[uri]) if uri in self.objects else None

    def uri(self, key: str) -> str:
        return f"s3://bucket/{key}"

    async def read(self, uri: str, start: int = 0) -> AsyncGenerator[bytes, None]:
        if uri not in self.objects:
            raise KeyError(uri)
        data = self.objects[uri][start:]
        for at in range(0, len(data), 1024 * 1024):
            yield data[at : at + 1024 * 1024]

    async def put(self, key: str, data: bytes) -> None:
        self.objects[self.uri(key)] = data

    async def put_file(self, key: str, path: Path) -> None:
        self.objects[self.uri(key)] = path.read_bytes()  # noqa: ASYNC240 - a few bytes


class _CorruptingStore(Failing):
    """The same with faults; wrong bytes come as bytes, not as an exception."""

    async def read(self, uri: str, start: int = 0) -> AsyncGenerator[bytes, None]:
        call = self._plan.next("read")
        call.before(S3)
        async for piece in self._port.read(uri, start):  # type: ignore[attr-defined]
            if call.kind is Kind.GARBAGE:
                yield b"\x00" + piece[1:]
            else:
                yield piece[:1] if call.kind is Kind.RESET else piece
                call.after(S3)


class _Children:
    """children.Children, as far as it is used."""

    async def examine(self, job: Job) -> AsyncGenerator[ValidateObjectResponse, None]:
        yield ValidateObjectResponse(
            progress=ValidationProgress(phase="scan", done=1, total=2, unit="rows")
        )
        folder = job.folder / "parts"
        folder.mkdir()
        (folder / "000.csv").write_bytes(ROWS)
        for name in ("rejects.csv", "rejects.marks"):
            (job.folder / name).write_bytes(b"line\n")
        report = Report(
            verdict=Verdict.VERDICT_PASSED,
            rows_read=1,
            rows_loadable=1,
            parts=[Part(uri="000.csv", rows=1)],
        )
        report.rejects_uri = "rejects.csv"
        yield ValidateObjectResponse(report=report)


async def _validated(plan: Plan) -> None:
    """Asks for attempt 1, 2, ... as the pipeline does, until there is a verdict."""
    real = _Store()
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder), 2**30)
        limits = Limits(max_columns=10, max_cells=10, max_inflated_bytes=10, max_parts=1)
        children = Failing(_Children(), CHILD, plan)
        store = _CorruptingStore(real, S3, plan)
        places = asyncio.Semaphore(1)
        inspections = Inspections(
            spool,
            children,  # type: ignore[arg-type]
            limits,
            places,
            max_open=1,
            keep_s=1,
            memory_bytes=2**30,
            arriving_bytes=2**28,
            timeout_s=10,
        )
        validation = Validation(store, spool, children, limits, inspections, places, 2**30, 10)  # type: ignore[arg-type]
        try:
            report = await _verdict(validation)
        finally:
            spool.close()
    child_died = (
        plan.fired
        and plan.calls[plan.at - 1] == "examine"
        and plan.kind in (Kind.TIMEOUT, Kind.RESET)
    )
    expected = Verdict.VERDICT_REJECTED if child_died else Verdict.VERDICT_PASSED
    hold(report.verdict == expected, f"the verdict is {Verdict.Name(report.verdict)}")
    if child_died:
        hold(
            [problem.code for problem in report.problems]
            == [ErrorReason.ERROR_REASON_RESOURCE_LIMIT],
            "the verdict does not say why",
        )
    else:
        hold(
            [real.objects.get(part.uri) for part in report.parts] == [ROWS],
            "a part that the report names is not what was written",
        )
        hold(report.sha256 == hashlib.sha256(DATA).digest(), "the SHA-256 is not the file's")
    stored = real.objects.get(real.uri(f"tasks/{TASK_ID}/{report.attempt}/report.pb"))
    hold(
        stored is not None and Report.FromString(stored) == report,
        "the report that is stored is another one",
    )


async def _verdict(validation: Validation) -> Report:
    sha256 = hashlib.sha256(DATA).digest()
    for attempt in range(1, MOST_ATTEMPTS + 1):
        request = ValidateObjectRequest(
            task_id=TASK_ID,
            attempt=attempt,
            file_uri=SOURCE,
            filename="a.csv",
            file_size=len(DATA),
            sha256=sha256,
        )
        try:
            async with aclosing(validation.validate(request)) as steps:
                async for step in steps:
                    if step.WhichOneof("step") == "report":
                        return step.report
        except errors.SluiceError as failure:
            hold(
                failure.reason != ErrorReason.ERROR_REASON_OBJECT_LOST,
                f"the object is there: {failure}",
            )
        except (OSError, ValueError):
            continue
    hold(False, "there is no verdict")
    raise AssertionError


STAGES: dict[str, Stage] = {"validation": _validated}
