"""GET /api/limits: what is taken, so that a client can know before it sends."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gateway.http import problems
from gateway.intake.form import Limits
from gateway.ports import Services


class UploadLimits(BaseModel):
    """What this server takes."""

    max_file_bytes: int = Field(description="Largest file.")
    extensions: list[str] = Field(description="What a file's name may end with, in any case.")
    max_uploads: int = Field(
        description="Files that each upload process receives at once, from all clients."
    )
    max_uploads_per_client: int = Field(
        description="Files that each upload process receives at once from one client."
    )
    max_bytes_in_flight: int = Field(
        description="Bytes of the files that each upload process receives at once, from all clients."
    )
    max_bytes_in_flight_per_client: int = Field(description="The same from one client.")
    idle_timeout_s: float = Field(
        description="Seconds without a byte after which a connection is cut."
    )
    min_bytes_per_s: int = Field(
        description="Bytes a second below which a connection is cut after a while; 0 for any."
    )
    retention_s: int = Field(
        description="Seconds for which an unfinished resumable upload is kept."
    )
    datasources: list[str] = Field(
        description="Datasources that may be loaded into, `*` for any characters; empty for any."
    )
    import_from: list[str] = Field(
        description="Where files may be imported from; empty for nowhere."
    )


def router(services: Services, limits: Limits) -> APIRouter:
    """The route, on the given services; `limits` are the edge's own."""
    routes = APIRouter(tags=["ingest"], responses=problems.RESPONSES)

    @routes.get("/api/limits", response_model=UploadLimits)
    async def read_limits() -> UploadLimits:
        """What is taken: of what size, how many at once, into which datasources, from which
        places.
        """
        found = await services.uploads.limits()
        return UploadLimits(
            max_file_bytes=min(found.max_file_bytes, limits.file_bytes),
            extensions=list(found.extensions),
            max_uploads=found.max_uploads,
            max_uploads_per_client=found.max_uploads_per_client,
            max_bytes_in_flight=found.max_bytes_in_flight,
            max_bytes_in_flight_per_client=found.max_bytes_in_flight_per_client,
            idle_timeout_s=min(found.idle_timeout_s, limits.idle_s),
            min_bytes_per_s=found.min_bytes_per_s,
            retention_s=found.retention_s,
            datasources=list(found.datasources),
            import_from=list(found.import_from),
        )

    return routes
