"""/graphql: POST with JSON, POST with a file that is streamed on, and subscriptions over
graphql-transport-ws.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.graphql import OperationType

from gateway.graphql import guard
from gateway.graphql.multipart_request import Operation, operation_of, read_operation
from gateway.graphql.schema import schema
from gateway.graphql.socket import Socket
from gateway.graphql.types import Context
from gateway.http import problems
from gateway.http.body import JsonBodies
from gateway.http.clients import client_of
from gateway.intake.destination import request_id
from gateway.intake.form import Body, Form, Limits, refuse_announced
from gateway.live.all_watch import AllWatch
from gateway.live.watches import Watches
from gateway.metrics import Metrics
from gateway.ports import Services
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason

PREFLIGHT_HEADERS = (
    "apollo-require-preflight",
    "x-apollo-operation-name",
    "graphql-require-preflight",
    "x-requested-with",
)
"""A page of another origin can send a form, but these headers only after a CORS preflight."""

MAX_SUBSCRIPTIONS = 50
"""Per connection."""


class _Subscriptions(GraphQL[Context, None]):
    """Strawberry's WebSocket protocol handler.

    HTTP has its own handler below: Strawberry's reads a whole form before it executes.
    """

    websocket_adapter_class = Socket

    def __init__(self, context: Context, init_timeout_s: float) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            max_subscriptions_per_connection=MAX_SUBSCRIPTIONS,
            connection_init_wait_timeout=timedelta(seconds=init_timeout_s),
        )
        self._context = context

    async def get_context(
        self, request: Request | WebSocket, response: Response | WebSocket
    ) -> Context:
        return replace(self._context, client=client_of(request))

    def is_websocket_origin_allowed(self, request: WebSocket, origin: str) -> bool:
        """Return True: the middleware has checked the origin against ALLOWED_ORIGINS."""
        return True


def install(
    app: FastAPI,
    services: Services,
    watches: Watches,
    all_watch: AllWatch,
    limits: Limits,
    bodies: JsonBodies,
    metrics: Metrics,
    init_timeout_s: float,
) -> None:
    """Add /graphql. A WebSocket must send connection_init within `init_timeout_s` seconds."""

    @app.post(problems.GRAPHQL_PATH, include_in_schema=False)
    async def graphql(request: Request) -> Response:
        key = request.headers.get("idempotency-key")
        context = Context(
            services,
            watches,
            all_watch,
            metrics,
            request_id(key) if key is not None else None,
            client_of(request),
        )
        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            operation = await _operation_with_file(request, limits)
        else:
            operation = operation_of(await bodies.read(request))
        return JSONResponse(await _execute(operation, context))

    subscriptions = _Subscriptions(Context(services, watches, all_watch, metrics), init_timeout_s)
    app.router.routes.append(WebSocketRoute(problems.GRAPHQL_PATH, subscriptions))


async def _operation_with_file(request: Request, limits: Limits) -> Operation:
    if not any(name in request.headers for name in PREFLIGHT_HEADERS):
        text = (
            "The request has none of the headers that prevent cross-site requests from a browser."
        )
        raise error(ErrorReason.ERROR_REASON_PREFLIGHT_REQUIRED, text)
    refuse_announced(request, limits)
    form = Form(Body(request.receive, limits), request.headers["content-type"], limits)
    async with form.before_file():
        return await read_operation(form)


async def _execute(operation: Operation, context: Context) -> dict[str, Any]:
    """Return the GraphQL response.

    Errors of the operation are part of it; the status stays 200, as clients ignore the body of any
    other.

    Raises:
        SluiceError: REQUEST_INVALID if the document has no operation that can be executed here.
    """
    try:
        result = await schema.execute(
            operation.query,
            variable_values=operation.variables,
            context_value=context,
            operation_name=operation.name,
            allowed_operation_types={OperationType.QUERY, OperationType.MUTATION},
        )
    except InvalidOperationTypeError:
        text = "Subscriptions require a WebSocket with the protocol graphql-transport-ws."
        raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column="query") from None
    except (CannotGetOperationTypeError, MissingQueryError):
        text = "The document has no operation, or several of which operationName selects none."
        raise error(
            ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column="operationName"
        ) from None
    answer: dict[str, Any] = {"data": result.data}
    if result.errors:
        answer["errors"] = [guard.with_code(each.formatted) for each in result.errors]
    return answer
