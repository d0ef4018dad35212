"""The composition root: wires the HTTP application to the four services."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gateway.documents import models
from gateway.graphql import endpoint as graphql_http
from gateway.http import problems
from gateway.http import server as http_server
from gateway.http.allowed import Allowed
from gateway.http.body import JsonBodies
from gateway.http.clients import Proxies
from gateway.http.middleware import GatewayMiddleware
from gateway.intake.form import Limits
from gateway.live.all_watch import AllWatch
from gateway.live.watches import Watches
from gateway.metrics import Metrics
from gateway.ports import Services
from gateway.rest import datasources as datasources_http
from gateway.rest import history as history_http
from gateway.rest import imports as imports_http
from gateway.rest import limits as limits_http
from gateway.rest import loads as loads_http
from gateway.rest import operations as operations_http
from gateway.rest import page as page_http
from gateway.rest import quality as quality_http
from gateway.rest import queries as query_http
from gateway.rest import reports as reports_http
from gateway.rest import tasks as tasks_http
from gateway.rest import tus as tus_http
from gateway.rest import uploads as uploads_http
from gateway.rest import webhooks as webhooks_http
from gateway.rpc import readiness
from gateway.rpc.druid import DruidRpc
from gateway.rpc.quality import QualityRpc
from gateway.rpc.status import StatusRpc
from gateway.rpc.upload import UploadRpc
from gateway.rpc.validation import ValidationRpc
from gateway.rpc.webhooks import WebhooksRpc
from gateway.settings import Settings
from services.common.serving.channels import connect
from services.common.serving.interceptors import OpenAuthenticator

DESCRIPTION = """Drop a spreadsheet, query it in Apache Druid: every row accounted for.

GraphQL is at `/graphql`: queries and uploads by POST, subscriptions by WebSocket
(graphql-transport-ws).

Resumable uploads are at `/api/ingest/uploads`, by the
[tus protocol](https://tus.io/protocols/resumable-upload) 1.0. Upload-Metadata requires `filename`
and `datasource_name`; `mode`, `allow_duplicate` and `request_id` are optional. Parallel uploads
(the extension concatenation) are not supported."""


async def build(stack: AsyncExitStack, settings: Settings) -> int:
    """Start the gateway on `stack`. Returns its port."""
    addresses = {
        "upload": settings.upload_addr,
        "validation": settings.validation_addr,
        "druid_gateway": settings.druid_gateway_addr,
        "status": settings.status_addr,
    }
    channels = {name: connect(address) for name, address in addresses.items()}
    for channel in channels.values():
        stack.push_async_callback(channel.close)
    tasks = StatusRpc(channels["status"])
    services = Services(
        tasks=tasks,
        uploads=UploadRpc(channels["upload"], settings.upload_deadline_s, tasks.loader.wait_idle),
        reports=ValidationRpc(channels["validation"]),
        quality=QualityRpc(channels["status"]),
        queries=DruidRpc(
            channels["druid_gateway"], settings.query_deadline_s, settings.query_stream_deadline_s
        ),
        webhooks=WebhooksRpc(channels["status"]),
    )
    metrics = Metrics()
    watches, all_watch = Watches(services.tasks, metrics.watches), AllWatch(services.tasks)
    app = http_app(
        services, watches, all_watch, settings, metrics, lambda: readiness.check(channels)
    )
    port = await http_server.start(stack, app, settings)
    # Ends the event streams, which would not end otherwise, before the server drains its requests.
    stack.push_async_callback(watches.close)
    stack.push_async_callback(all_watch.close)
    return port


def http_app(
    services: Services,
    watches: Watches,
    all_watch: AllWatch,
    settings: Settings,
    metrics: Metrics,
    check_readiness: Callable[[], Awaitable[models.Readiness]],
) -> ASGIApp:
    """The HTTP application: REST, GraphQL, the page, and the middleware around them."""
    limits = Limits(
        file_bytes=settings.max_file_size_bytes,
        field_bytes=settings.max_form_field_bytes,
        part_header_bytes=settings.max_part_header_bytes,
        idle_s=settings.upload_idle_s,
    )
    bodies = JsonBodies(settings.max_json_body_bytes, settings.json_body_timeout_s)
    app = FastAPI(
        title="Sluice",
        version=version("sluice"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    app.include_router(uploads_http.router(services, limits, metrics))
    app.include_router(tus_http.router(services, limits, metrics))
    app.include_router(imports_http.router(services, bodies))
    app.include_router(limits_http.router(services, limits))
    app.include_router(tasks_http.router(services, watches))
    app.include_router(reports_http.router(services, bodies))
    app.include_router(quality_http.router(services, bodies))
    app.include_router(history_http.router(services))
    app.include_router(datasources_http.router(services))
    app.include_router(loads_http.router(services, bodies))
    app.include_router(webhooks_http.router(services, bodies))
    app.include_router(query_http.router(services, bodies))
    app.include_router(operations_http.router(check_readiness, metrics))
    graphql_http.install(
        app, services, watches, all_watch, limits, bodies, metrics, settings.head_timeout_s
    )
    page_http.install(app)
    allowed = Allowed(settings.hosts, settings.allowed_origins)
    inner: ASGIApp = app
    if settings.allowed_origins:
        inner = CORSMiddleware(
            app,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=[
                "Location",
                "Retry-After",
                "X-Trace-Id",
                query_http.TRUNCATED_HEADER,
                *tus_http.EXPOSED_HEADERS,
            ],
        )
    return GatewayMiddleware(
        inner,
        allowed=allowed,
        authenticator=OpenAuthenticator(),
        metrics=metrics,
        proxies=Proxies(settings.trusted_proxies),
    )
