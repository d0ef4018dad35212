"""What the gateway needs of the four services. Every method raises SluiceError, and nothing of gRPC
shows through.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sluice.druid.v1.druid_pb2 import (
    DescribeDatasourceResponse,
    ListDatasourcesResponse,
    PreviewRowsResponse,
    ProposeQueriesResponse,
    QueryResponse,
)
from sluice.status.v1.status_pb2 import (
    DatasourceSettings,
    GetHistoryResponse,
    GetPlanResponse,
    GetReceiptResponse,
    GetStatisticsResponse,
    ListQualityResponse,
    ListTasksRequest,
    ListTasksResponse,
    RetryTaskRequest,
    SetWebhookRequest,
    SetWebhookResponse,
    Task,
    WatchTaskResponse,
    WatchTasksRequest,
    WatchTasksResponse,
    Webhook,
    WebhookDelivery,
)
from sluice.upload.v1.upload_pb2 import (
    CreateUploadRequest,
    CreateUploadResponse,
    GetLimitsResponse,
    ImportObjectRequest,
    Upload,
    WriteUploadRequest,
)
from sluice.validation.v1.validation_pb2 import RejectsFormat, Report

Parameter = str | int | float | bool | None
"""A value of a statement."""


class Tasks(Protocol):
    """Reading, watching and cancelling tasks."""

    async def get(self, task_id: str) -> Task: ...

    async def list(self, wanted: ListTasksRequest) -> ListTasksResponse:
        """A page, newest first."""
        ...

    async def cancel(self, task_id: str) -> Task: ...

    async def retry(self, request: RetryTaskRequest) -> Task:
        """The new task that loads the stored file again."""
        ...

    async def delete_files(self, task_id: str) -> Task: ...

    async def history(self, task_id: str) -> GetHistoryResponse: ...

    async def statistics(self, hours: int) -> GetStatisticsResponse: ...

    async def revert(self, task_id: str) -> Task:
        """Begins to undo a load."""
        ...

    async def plan(self, task_id: str) -> GetPlanResponse: ...

    async def apply_plan(self, task_id: str, plan_hash: str) -> Task:
        """Begins a load that waits for it."""
        ...

    async def receipt(self, task_id: str) -> GetReceiptResponse: ...

    def watch_all(
        self, request: WatchTasksRequest, timeout_s: float
    ) -> AsyncIterator[WatchTasksResponse]:
        """Events of all tasks that match, as they happen. Raises DEADLINE_EXCEEDED after
        `timeout_s`: ask again from the next position.
        """
        ...

    def watch(
        self, task_id: str, from_sequence: int, timeout_s: float
    ) -> AsyncIterator[WatchTaskResponse]:
        """Events from a sequence number on; ends after the terminal one. Raises DEADLINE_EXCEEDED
        after `timeout_s`: ask again.
        """
        ...


class Uploads(Protocol):
    """Taking a file in."""

    async def create(self, request: CreateUploadRequest) -> CreateUploadResponse: ...

    async def write(self, messages: AsyncIterator[WriteUploadRequest]) -> Upload:
        """Sends the messages, each after the one before was taken; returns once the task is
        UPLOADED, or a pause is stored. Cancelling it breaks the stream.
        """
        ...

    async def get(self, upload_id: str) -> Upload: ...

    async def abort(self, upload_id: str) -> Upload: ...

    async def import_object(self, request: ImportObjectRequest) -> Upload:
        """Takes a file from where it lies."""
        ...

    async def limits(self) -> GetLimitsResponse:
        """What is taken."""
        ...


class Reports(Protocol):
    """What validation found."""

    async def report(self, task_id: str, attempt: int) -> Report: ...

    def rejects(
        self, task_id: str, attempt: int, format: "RejectsFormat.ValueType"
    ) -> AsyncIterator[bytes]:
        """The refused rows as pieces of a file."""
        ...


class Judging(Protocol):
    """How the files of a datasource are judged, and what was found in them."""

    async def settings(self, datasource: str) -> DatasourceSettings: ...

    async def set_settings(
        self, datasource: str, settings: DatasourceSettings
    ) -> DatasourceSettings: ...

    async def quality(self, datasource: str, limit: int) -> ListQualityResponse: ...


class Queries(Protocol):
    """Asking Druid."""

    def query(
        self, sql: str, limit: int | None, parameters: Sequence[Parameter] = ()
    ) -> AsyncIterator[QueryResponse]:
        """Header, rows, rows, ..., summary; without a limit all rows, up to the server's largest
        number. Closing the iterator cancels the query."""
        ...

    async def datasources(self) -> ListDatasourcesResponse: ...

    async def datasource(self, name: str) -> DescribeDatasourceResponse: ...

    async def preview(self, name: str, limit: int) -> PreviewRowsResponse: ...

    async def proposals(self, datasource: str) -> ProposeQueriesResponse:
        """Queries to begin with."""
        ...


class Webhooks(Protocol):
    """Who is told of the end of a datasource's tasks."""

    async def put(self, request: SetWebhookRequest) -> SetWebhookResponse: ...

    async def get(self, datasource: str) -> Webhook: ...

    async def delete(self, datasource: str) -> None: ...

    async def deliveries(self, datasource: str, limit: int) -> list[WebhookDelivery]:
        """The newest first."""
        ...


@dataclass(frozen=True)
class Services:
    """The four services."""

    tasks: Tasks
    uploads: Uploads
    reports: Reports
    judging: Judging
    queries: Queries
    webhooks: Webhooks
