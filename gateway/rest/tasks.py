"""Tasks: list, read, follow, cancel, retry, delete files."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query
from starlette.responses import Response, StreamingResponse

from gateway.documents import models, wire
from gateway.http import problems
from gateway.live import event_stream
from gateway.live.watches import Watches
from gateway.ports import Services
from sluice.status.v1.status_pb2 import ListTasksRequest, RetryTaskRequest

TaskId = Annotated[str, Path(description="UUID of the task.", max_length=255)]

IdempotencyKey = Annotated[
    str, Header(max_length=128, description="Repeats with the same key return the same task.")
]


def router(services: Services, watches: Watches) -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(prefix="/api/ingest/tasks", tags=["tasks"], responses=problems.RESPONSES)

    @routes.get("", response_model=models.TaskPage)
    async def list_tasks(
        limit: Annotated[int, Query(ge=1, le=500, description="Tasks per page.")] = 50,
        offset: Annotated[int, Query(ge=0, le=1_000_000, description="Tasks to skip.")] = 0,
        page_token: Annotated[str, Query(description="next_page_token of the previous page.")] = "",
        status: Annotated[
            list[models.StatusName] | None,
            Query(description="Only tasks with this status; repeatable."),
        ] = None,
        datasource: Annotated[str, Query(description="Only tasks of this datasource.")] = "",
        datasource_name: Annotated[str, Query(description="Alias of `datasource`.")] = "",
        text: Annotated[
            str,
            Query(
                max_length=200,
                description="Only tasks with it in file name, datasource, message or client.",
            ),
        ] = "",
        since: Annotated[
            str, Query(description="Only tasks created at or after this time, ISO 8601.")
        ] = "",
        until: Annotated[
            str, Query(description="Only tasks created before this time, ISO 8601.")
        ] = "",
    ) -> models.TaskPage:
        """List tasks, newest first."""
        wanted = ListTasksRequest(
            page_size=limit,
            skip=offset,
            page_token=page_token,
            datasource=datasource or datasource_name,
            states=[wire.state_of(name) for name in status or ()],
            text=text,
            since=wire.timestamp("since", since) if since else None,
            until=wire.timestamp("until", until) if until else None,
        )
        found = await services.tasks.list(wanted)
        return models.TaskPage(
            tasks=[wire.task(each) for each in found.tasks],
            next_page_token=found.next_page_token or None,
        )

    @routes.get("/{task_id}", response_model=models.Task)
    async def read_task(task_id: TaskId) -> models.Task:
        """Read a task."""
        return wire.task(await services.tasks.get(task_id))

    @routes.post("/{task_id}/cancel", response_model=models.Task)
    async def cancel_task(task_id: TaskId) -> models.Task:
        """Cancel a task that has not ended. Its rows are removed from Druid first. Idempotent."""
        return wire.task(await services.tasks.cancel(task_id))

    @routes.post("/{task_id}/retry", response_model=models.Retried, status_code=202)
    async def retry_task(
        task_id: TaskId,
        response: Response,
        idempotency_key: IdempotencyKey = "",
    ) -> models.Retried:
        """Create a task that loads the stored file of an ended task again. While a retry is in
        progress, a second request returns the same task.
        """
        retry = await services.tasks.retry(
            RetryTaskRequest(task_id=task_id, request_id=idempotency_key)
        )
        response.headers["Location"] = f"/api/ingest/tasks/{retry.task_id}"
        return models.Retried(task_id=retry.task_id, retry_of=retry.retry_of)

    @routes.delete("/{task_id}", response_model=models.Task)
    async def delete_files(task_id: TaskId) -> models.Task:
        """Delete the stored files of an ended task: the uploaded file, once no retry uses it, and
        the derived files. The task itself stays. Idempotent.
        """
        return wire.task(await services.tasks.delete_files(task_id))

    @routes.get(
        "/{task_id}/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def stream_events(
        task_id: TaskId,
        last_event_id: Annotated[
            int,
            Header(
                ge=0,
                lt=2**62,
                description="Sequence number of the last received event; 0 for all events.",
            ),
        ] = 0,
    ) -> Response:
        """Stream the task's events as server-sent events: `id` is the sequence number, `data` a
        TaskEvent. Ends after the final status. Responds with 204 if there are no more events, which
        stops browsers from reconnecting.
        """
        found = await services.tasks.get(task_id)
        if wire.has_ended(found) and last_event_id >= found.last_sequence:
            return Response(status_code=204)
        return event_stream.response(watches, task_id, last_event_id + 1)

    return routes
