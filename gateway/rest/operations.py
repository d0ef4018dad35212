"""What operators and machines ask: alive, ready, figures."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from gateway.documents import models
from gateway.metrics import Metrics


def router(ask_readiness: Callable[[], Awaitable[models.Readiness]], metrics: Metrics) -> APIRouter:
    """The routes; `ask_readiness` asks the services."""
    routes = APIRouter(tags=["operations"])

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process lives."""
        return {"status": "alive"}

    @routes.get(
        "/readyz", response_model=models.Readiness, responses={503: {"model": models.Readiness}}
    )
    async def readyz() -> Response:
        """Whether each of the four services answers: 200 when all do, else 503."""
        found = await ask_readiness()
        return JSONResponse(found.model_dump(), status_code=200 if found.ready else 503)

    @routes.get(
        "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}
    )
    async def figures() -> Response:
        """Figures for Prometheus."""
        return Response(metrics.text(), media_type=metrics.content_type)

    return routes
