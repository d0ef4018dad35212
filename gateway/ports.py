"""What the gateway requires from the four services, independent of gRPC. Every method raises
SluiceError.
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
"""The value of a parameter of a SQL statement."""


class Tasks(Protocol):
    """Reads, watches and changes tasks."""

    async def get(self, task_id: str) -> Task: ...

    async def list(self, request: ListTasksRequest) -> ListTasksResponse:
        """One page of tasks, newest first."""

    async def cancel(self, task_id: str) -> Task: ...

    async def retry(self, request: RetryTaskRequest) -> Task:
        """Create a task that loads the stored file again; returns it."""

    async def delete_files(self, task_id: str) -> Task: ...

    async def history(self, task_id: str) -> GetHistoryResponse: ...

    async def statistics(self, hours: int) -> GetStatisticsResponse: ...

    async def revert(self, task_id: str) -> Task:
        """Start to revert a load."""

    async def plan(self, task_id: str) -> GetPlanResponse: ...

    async def apply_plan(self, task_id: str, plan_hash: str) -> Task:
        """Start the load of a PLANNED task."""

    async def receipt(self, task_id: str) -> GetReceiptResponse: ...

    def watch_all(
        self, request: WatchTasksRequest, timeout_s: float
    ) -> AsyncIterator[WatchTasksResponse]:
        """Events of all matching tasks, as they happen. Raises DEADLINE_EXCEEDED after
        `timeout_s`; call again from the next position.
        """

    def watch(
        self, task_id: str, from_sequence: int, timeout_s: float
    ) -> AsyncIterator[WatchTaskResponse]:
        """Events from a sequence number on; ends after the terminal one. Raises DEADLINE_EXCEEDED
        after `timeout_s`; call again from the next sequence number.
        """


class Uploads(Protocol):
    """Receives and imports files."""

    async def create(self, request: CreateUploadRequest) -> CreateUploadResponse: ...

    async def write(self, messages: AsyncIterator[WriteUploadRequest]) -> Upload:
        """Send the messages with back-pressure; returns once the task is UPLOADED or a pause is
        stored. Cancelling it breaks the stream.
        """

    async def get(self, upload_id: str) -> Upload: ...

    async def abort(self, upload_id: str) -> Upload: ...

    async def import_object(self, request: ImportObjectRequest) -> Upload:
        """Copy a file from a bucket."""

    async def limits(self) -> GetLimitsResponse:
        """Limits and allowed names of files and datasources."""


class Reports(Protocol):
    """Reads validation reports and rejects."""

    async def report(self, task_id: str, attempt: int) -> Report: ...

    def rejects(
        self, task_id: str, attempt: int, format: "RejectsFormat.ValueType"
    ) -> AsyncIterator[bytes]:
        """The rejects file, in pieces."""


class Quality(Protocol):
    """Settings of a datasource, and the quality of its files."""

    async def settings(self, datasource: str) -> DatasourceSettings: ...

    async def set_settings(
        self, datasource: str, settings: DatasourceSettings
    ) -> DatasourceSettings: ...

    async def quality(self, datasource: str, limit: int) -> ListQualityResponse: ...


class Queries(Protocol):
    """Queries Druid."""

    def query(
        self, sql: str, limit: int | None, parameters: Sequence[Parameter] = ()
    ) -> AsyncIterator[QueryResponse]:
        """Header, rows, rows, ..., summary. Without a limit, all rows up to the server's maximum.
        Closing the iterator cancels the query."""

    async def datasources(self) -> ListDatasourcesResponse: ...

    async def datasource(self, name: str) -> DescribeDatasourceResponse: ...

    async def preview(self, name: str, limit: int) -> PreviewRowsResponse: ...

    async def proposals(self, datasource: str) -> ProposeQueriesResponse:
        """Starter queries."""


class Webhooks(Protocol):
    """Webhooks of datasources and their deliveries."""

    async def put(self, request: SetWebhookRequest) -> SetWebhookResponse: ...

    async def get(self, datasource: str) -> Webhook: ...

    async def delete(self, datasource: str) -> None: ...

    async def deliveries(self, datasource: str, limit: int) -> list[WebhookDelivery]:
        """Deliveries, newest first."""


@dataclass(frozen=True)
class Services:
    """The ports to the four services."""

    tasks: Tasks
    uploads: Uploads
    reports: Reports
    quality: Quality
    queries: Queries
    webhooks: Webhooks
