"""Client of ValidationService: reports and rejects."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc

from services.common import errors
from sluice.validation.v1 import validation_pb2, validation_pb2_grpc
from sluice.validation.v1.validation_pb2 import GetReportResponse, RejectsFormat, Report

REJECTS_DEADLINE_S = 600.0
"""Deadline of GetRejects, enough for hundreds of megabytes over a slow connection."""


class ValidationRpc:
    """Implements ports.Reports."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = validation_pb2_grpc.ValidationServiceStub(channel)

    async def report(self, task_id: str, attempt: int) -> Report:
        answer: GetReportResponse = await errors.answered(
            self._stub.GetReport(validation_pb2.GetReportRequest(task_id=task_id, attempt=attempt)),
            "validation",
        )
        return answer.report

    async def rejects(
        self, task_id: str, attempt: int, format: "RejectsFormat.ValueType"
    ) -> AsyncIterator[bytes]:
        request = validation_pb2.GetRejectsRequest(task_id=task_id, attempt=attempt, format=format)
        async with aclosing(
            errors.streamed(
                lambda: self._stub.GetRejects(request, timeout=REJECTS_DEADLINE_S), "validation"
            )
        ) as pieces:
            async for piece in pieces:
                yield piece.data
