"""Validates one file: fetches it, reads it in a child process, and stores the results."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from time import monotonic

from services.common import errors, logs
from services.common.timing import Timings
from services.validation.ports import ObjectStore
from services.validation.process.child import Job
from services.validation.process.children import (
    ChildLostError,
    Children,
    InspectionDroppedError,
    Step,
)
from services.validation.process.inspections import Inspection, Inspections
from services.validation.process.limits import Limits
from services.validation.process.spool import Spool, write_all
from services.validation.report import drift, policy, rejects, rejects_workbook
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import (
    ContractMode,
    Policy,
    RejectsFormat,
    Report,
    StepTiming,
    ValidateObjectRequest,
    ValidateObjectResponse,
    ValidationProgress,
    Verdict,
)

FETCH_ATTEMPTS = 3
PROGRESS_INTERVAL_S = 0.3


def results_key(task_id: str, attempt: int, name: str) -> str:
    """Object key of a result."""
    return f"tasks/{task_id}/{attempt}/{name}"


class Validation:
    """Validates objects, and serves the results."""

    def __init__(
        self,
        store: ObjectStore,
        spool: Spool,
        children: Children,
        limits: Limits,
        inspections: Inspections,
        reading_slots: asyncio.Semaphore,
        memory_bytes: int,
        timeout_s: float,
    ) -> None:
        self._store, self._spool, self._children, self._limits = store, spool, children, limits
        self._inspections, self._reading_slots = inspections, reading_slots
        self._memory_bytes, self._timeout_s = memory_bytes, timeout_s

    async def validate(
        self, request: ValidateObjectRequest
    ) -> AsyncGenerator[ValidateObjectResponse, None]:
        """Yields progress, then the report once all results are stored.

        Closing the generator stops the work.

        Raises:
            SluiceError: OBJECT_LOST, STORAGE_UNAVAILABLE, VALIDATION_DISK_FULL, REQUEST_INVALID (an
                unknown rule).
        """
        policy.check(request.policy, request.options, "policy.rules")
        stored = await self._stored_report(request.task_id, request.attempt)
        if stored is not None:
            yield ValidateObjectResponse(report=stored)
            return
        inspection = await self._inspections.take(request)
        if inspection is not None:
            try:
                async with aclosing(self._take_over(request, inspection)) as steps:
                    async for step in steps:
                        yield step
            finally:
                await inspection.close()
            return
        if self._reading_slots.locked():
            yield _progress("queued", 0, 0, "")
        async with self._reading_slots:
            with self._spool.job() as folder:
                async with aclosing(self._validate(request, folder)) as steps:
                    async for step in steps:
                        yield step

    async def _take_over(
        self, request: ValidateObjectRequest, inspection: Inspection
    ) -> AsyncGenerator[ValidateObjectResponse, None]:
        """Validates a file that was read during its upload.

        If it was read under another policy or other options, reads its bytes again.
        """
        used = inspection.request
        if (_relevant_policy(used.policy), used.options) == (
            _relevant_policy(request.policy),
            request.options,
        ):
            try:
                async with aclosing(
                    self._conclude(
                        request,
                        inspection.steps(),
                        inspection.folder,
                        inspection.sha256,
                        Timings(),
                    )
                ) as steps:
                    async for step in steps:
                        yield step
                return
            except InspectionDroppedError as dropped:
                logs.get().info("inspection.dropped", reason=str(dropped))
        async with self._reading_slots:
            with self._spool.job() as folder:
                examined = self._examine(request, inspection.source, folder)
                async with aclosing(
                    self._conclude(request, examined, folder, inspection.sha256, Timings())
                ) as steps:
                    async for step in steps:
                        yield step

    async def _validate(
        self, request: ValidateObjectRequest, folder: Path
    ) -> AsyncGenerator[ValidateObjectResponse, None]:
        timings = Timings()
        source = folder / "source"
        if request.file_size > self._spool.bytes_per_job:
            message = f"The file has {request.file_size:,} bytes, but the disk space per file is {self._spool.bytes_per_job:,} bytes."
            yield await self._finish(request, _over_limit(message), request.sha256, folder, timings)
            return
        for _ in range(FETCH_ATTEMPTS):
            digest = hashlib.sha256()
            with timings.step("fetch"):
                async with aclosing(self._fetch(request, source, digest.update)) as fetching:
                    async for done in fetching:
                        yield _progress("fetch", done, request.file_size, "bytes")
            if request.sha256 in (b"", digest.digest()):
                break
            # Bytes damaged in transit may be intact on the next attempt.
            logs.get().warning("fetch.damaged", uri=request.file_uri)
        else:
            raise _object_lost(request, "different SHA-256")
        examined = self._examine(request, source, folder)
        async with aclosing(
            self._conclude(request, examined, folder, digest.digest(), timings)
        ) as steps:
            async for step in steps:
                yield step

    def _examine(
        self, request: ValidateObjectRequest, source: Path, folder: Path
    ) -> AsyncGenerator[Step, None]:
        job = Job(request, source, folder, self._limits, self._memory_bytes, self._timeout_s)
        return self._children.examine(job)

    async def _conclude(
        self,
        request: ValidateObjectRequest,
        examined: AsyncGenerator[Step, None],
        folder: Path,
        sha256: bytes,
        timings: Timings,
    ) -> AsyncGenerator[ValidateObjectResponse, None]:
        """Yields progress, then the stored report of a file that is being read."""
        report = Report()
        try:
            async with aclosing(examined) as steps:
                async for step in steps:
                    if not isinstance(step, ValidateObjectResponse):
                        continue
                    if step.WhichOneof("step") == "report":
                        report = step.report
                    else:
                        yield step
        except ChildLostError as lost:
            report = _over_limit(str(lost))
        yield await self._finish(request, report, sha256, folder, timings)

    async def _finish(
        self,
        request: ValidateObjectRequest,
        report: Report,
        sha256: bytes,
        folder: Path,
        timings: Timings,
    ) -> ValidateObjectResponse:
        """Completes the report, and stores it with all results."""
        report.task_id, report.attempt, report.filename, report.file_size = (
            request.task_id,
            request.attempt,
            request.filename,
            request.file_size,
        )
        report.sha256 = sha256
        drift.compare(report, request.policy.contract)
        with timings.step("store"):
            await self._store_results(report, folder)
        for name, seconds in timings.seconds.items():
            report.timings.append(StepTiming(step=name, seconds=seconds))
        for step in report.timings:
            timings.seconds.setdefault(step.step, step.seconds)
        await self._store.put(
            results_key(report.task_id, report.attempt, "report.pb"),
            report.SerializeToString(deterministic=True),
        )
        timings.log(
            "validation.done",
            verdict=Verdict.Name(report.verdict),
            codes=[errors.code_of(problem.code) for problem in report.problems[:5]],
            file_size=report.file_size,
            rows_read=report.rows_read,
            rows_loadable=report.rows_loadable,
            rows_rejected=report.rows_rejected,
            parts=len(report.parts),
        )
        return ValidateObjectResponse(report=report)

    async def _fetch(
        self, request: ValidateObjectRequest, target: Path, update: Callable[[bytes], object]
    ) -> AsyncGenerator[int, None]:
        """Copies the object to the disk; resumes after a broken connection.

        Yields the bytes copied, a few times per second.
        """
        size = await self._store.size(request.file_uri)
        if size != request.file_size:
            raise _object_lost(
                request, "no object found" if size is None else f"{size:,} bytes found"
            )
        done = 0
        due = monotonic()
        with target.open("wb", buffering=0) as file:

            def keep(data: bytes) -> None:
                write_all(file, data)
                update(data)

            for attempt in range(1, FETCH_ATTEMPTS + 1):
                try:
                    async with aclosing(self._store.read(request.file_uri, done)) as pieces:
                        async for data in pieces:
                            await asyncio.to_thread(keep, data)
                            done += len(data)
                            if done > size:
                                raise _object_lost(request, "more bytes received")
                            if monotonic() >= due:
                                due = monotonic() + PROGRESS_INTERVAL_S
                                yield done
                except KeyError as failure:
                    raise _object_lost(request, "no object found") from failure
                except errors.SluiceError as failure:
                    if (
                        failure.reason != ErrorReason.ERROR_REASON_STORAGE_UNAVAILABLE
                        or attempt == FETCH_ATTEMPTS
                    ):
                        raise
                    continue
                if done == size:
                    return
            raise errors.error(
                ErrorReason.ERROR_REASON_STORAGE_UNAVAILABLE,
                "The object store repeatedly ended the file before its last byte.",
            )

    async def _store_results(self, report: Report, folder: Path) -> None:
        """Stores parts and rejects, and sets their URIs in the report."""
        for part in report.parts:
            key = results_key(report.task_id, report.attempt, f"parts/{part.uri}")
            await self._store.put_file(key, folder / "parts" / part.uri)
            part.uri = self._store.uri(key)
        if report.rejects_uri:
            for name in (rejects.MARKS, report.rejects_uri):
                key = results_key(report.task_id, report.attempt, name)
                await self._store.put_file(key, folder / name)
            report.rejects_uri = self._store.uri(key)

    async def report(self, task_id: str, attempt: int) -> Report:
        """The stored report.

        Raises:
            SluiceError: REPORT_NOT_FOUND, STORAGE_UNAVAILABLE.
        """
        stored = await self._stored_report(task_id, attempt)
        if stored is None:
            message = f"Task {task_id} has no report of attempt {attempt}."
            raise errors.error(ErrorReason.ERROR_REASON_REPORT_NOT_FOUND, message)
        return stored

    async def rejects(
        self, task_id: str, attempt: int, format: "RejectsFormat.ValueType"
    ) -> AsyncGenerator[bytes, None]:
        """Yields the rejects file; nothing if no row was rejected.

        Raises:
            SluiceError: REPORT_NOT_FOUND, STORAGE_UNAVAILABLE.
        """
        report = await self.report(task_id, attempt)
        if not report.rejects_uri:
            return
        uri = report.rejects_uri
        if format == RejectsFormat.REJECTS_FORMAT_XLSX:
            uri = await self._rejects_workbook(report)
        async for data in self._store.read(uri):
            yield data

    async def _rejects_workbook(self, report: Report) -> str:
        """URI of the rejects workbook, which the first request creates."""
        key = results_key(report.task_id, report.attempt, "rejects.xlsx")
        if await self._store.size(self._store.uri(key)) is None:
            with self._spool.job() as folder:
                sources = {
                    rejects.MARKS: self._store.uri(
                        results_key(report.task_id, report.attempt, rejects.MARKS)
                    ),
                    "csv": report.rejects_uri,
                }
                for name, uri in sources.items():
                    with (folder / name).open("wb") as file:
                        async for data in self._store.read(uri):
                            await asyncio.to_thread(file.write, data)
                target = folder / "rejects.xlsx"
                rows = self._limits.rejects_workbook_rows
                await asyncio.to_thread(
                    rejects_workbook.write, folder / "csv", folder / rejects.MARKS, target, rows
                )
                await self._store.put_file(key, target)
        return self._store.uri(key)

    async def delete(self, task_id: str) -> int:
        """Deletes the results of all attempts of a task. Returns the number of objects.

        Raises:
            SluiceError: STORAGE_UNAVAILABLE.
        """
        return await self._store.delete_below(f"tasks/{task_id}/")

    async def _stored_report(self, task_id: str, attempt: int) -> Report | None:
        uri = self._store.uri(results_key(task_id, attempt, "report.pb"))
        try:
            data = b"".join([piece async for piece in self._store.read(uri)])
        except KeyError:
            return None
        return Report.FromString(data)


def _relevant_policy(policy: Policy) -> Policy:
    """The policy as far as it affects reading: the contract only if it leaves columns out."""
    relevant = Policy()
    relevant.CopyFrom(policy)
    if relevant.contract.mode != ContractMode.CONTRACT_MODE_DISCARD:
        relevant.ClearField("contract")
    return relevant


def _progress(phase: str, done: int, total: int, unit: str) -> ValidateObjectResponse:
    return ValidateObjectResponse(
        progress=ValidationProgress(phase=phase, done=done, total=total, unit=unit)
    )


def _over_limit(message: str) -> Report:
    problem = errors.problem(ErrorReason.ERROR_REASON_RESOURCE_LIMIT, message)
    return Report(verdict=Verdict.VERDICT_REJECTED, summary=message, problems=[problem])


def _object_lost(request: ValidateObjectRequest, found: str) -> errors.SluiceError:
    message = f"The stored object of {request.filename!r} differs from the upload: {request.file_size:,} bytes expected, {found}."
    return errors.error(ErrorReason.ERROR_REASON_OBJECT_LOST, message)
