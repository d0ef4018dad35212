"""Health, readiness and metrics."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from gateway.documents import models
from gateway.metrics import Metrics


def router(
    check_readiness: Callable[[], Awaitable[models.Readiness]], metrics: Metrics
) -> APIRouter:
    """The routes of this module; `check_readiness` checks the services."""
    routes = APIRouter(tags=["operations"])

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Liveness: responds while the process runs."""
        return {"status": "alive"}

    @routes.get(
        "/readyz", response_model=models.Readiness, responses={503: {"model": models.Readiness}}
    )
    async def readyz() -> Response:
        """Readiness: 200 if all four services respond, else 503."""
        found = await check_readiness()
        return JSONResponse(found.model_dump(), status_code=200 if found.ready else 503)

    @routes.get(
        "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}
    )
    async def read_metrics() -> Response:
        """Metrics for Prometheus."""
        return Response(metrics.text(), media_type=metrics.content_type)

    return routes
