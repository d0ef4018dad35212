"""Reading, following, cancelling and repeating tasks over REST."""

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


def router(services: Services, watches: Watches) -> APIRouter:
    """The routes, on the given services."""
    routes = APIRouter(prefix="/api/ingest/tasks", tags=["tasks"], responses=problems.RESPONSES)

    @routes.get("", response_model=models.TaskPage)
    async def tasks(
        limit: Annotated[int, Query(ge=1, le=500, description="Tasks on a page.")] = 50,
        offset: Annotated[
            int, Query(ge=0, le=1_000_000, description="Tasks to leave out first.")
        ] = 0,
        page_token: Annotated[str, Query(description="next_page_token of the page before.")] = "",
        status: Annotated[
            list[models.StatusName] | None, Query(description="Only these; may be repeated.")
        ] = None,
        datasource: Annotated[str, Query(description="Only this datasource.")] = "",
        datasource_name: Annotated[str, Query(description="The same.")] = "",
        text: Annotated[
            str,
            Query(
                max_length=200,
                description="Only tasks with it in file name, datasource, message or client.",
            ),
        ] = "",
        since: Annotated[
            str, Query(description="Only tasks made at this time or later, ISO 8601.")
        ] = "",
        until: Annotated[
            str, Query(description="Only tasks made before this time, ISO 8601.")
        ] = "",
    ) -> models.TaskPage:
        """Tasks, newest first."""
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
    async def task(task_id: TaskId) -> models.Task:
        """One task as it stands."""
        return wire.task(await services.tasks.get(task_id))

    @routes.post("/{task_id}/cancel", response_model=models.Task)
    async def cancel(task_id: TaskId) -> models.Task:
        """Cancels a task that has not ended. What Druid holds of it is removed first. Harmless when
        repeated.
        """
        return wire.task(await services.tasks.cancel(task_id))

    @routes.post("/{task_id}/retry", response_model=models.Retried, status_code=202)
    async def retry(
        task_id: TaskId,
        response: Response,
        idempotency_key: Annotated[
            str, Header(max_length=128, description="Repeats with the same key give the same task.")
        ] = "",
    ) -> models.Retried:
        """Loads the stored file of a task that has ended again, as a new task. While a retry is
        under way, a second one is the same.
        """
        made = await services.tasks.retry(
            RetryTaskRequest(task_id=task_id, request_id=idempotency_key)
        )
        response.headers["Location"] = f"/api/ingest/tasks/{made.task_id}"
        return models.Retried(task_id=made.task_id, retry_of=made.retry_of)

    @routes.delete("/{task_id}", response_model=models.Task)
    async def delete_files(task_id: TaskId) -> models.Task:
        """Has the stored files of a task that has ended deleted: what was uploaded, once no retry
        of it uses it any more, and what was derived from it. The task itself stays. Harmless when
        repeated.
        """
        return wire.task(await services.tasks.delete_files(task_id))

    @routes.get(
        "/{task_id}/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def events(
        task_id: TaskId,
        last_event_id: Annotated[
            int,
            Header(
                ge=0,
                lt=2**62,
                description="Number of the last event that was seen; 0 for all of them.",
            ),
        ] = 0,
    ) -> Response:
        """What happens to the task, as server-sent events: `id` is the sequence number, `data` a
        TaskEvent. Ends after the final status; 204 where nothing can come any more, which keeps
        browsers from asking again.
        """
        found = await services.tasks.get(task_id)
        if wire.has_ended(found) and last_event_id >= found.last_sequence:
            return Response(status_code=204)
        return event_stream.response(watches, task_id, last_event_id + 1)

    return routes
