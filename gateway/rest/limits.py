"""GET /api/limits: limits that clients can check before an upload."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gateway.http import problems
from gateway.intake.form import Limits
from gateway.ports import Services


class UploadLimits(BaseModel):
    """Limits of uploads and imports."""

    max_file_bytes: int = Field(description="Maximum size of a file.")
    extensions: list[str] = Field(description="Allowed file name extensions, in any case.")
    max_uploads: int = Field(description="Maximum concurrent uploads per upload process.")
    max_uploads_per_client: int = Field(
        description="Maximum concurrent uploads of one client per upload process."
    )
    max_bytes_in_flight: int = Field(
        description="Maximum total size of concurrent uploads per upload process."
    )
    max_bytes_in_flight_per_client: int = Field(
        description="Maximum total size of one client's concurrent uploads per upload process."
    )
    idle_timeout_s: float = Field(
        description="Seconds without a byte after which a connection is closed."
    )
    min_bytes_per_s: int = Field(
        description="Minimum average bytes per second of a connection; 0: no minimum."
    )
    retention_s: int = Field(
        description="Seconds for which an unfinished resumable upload is kept."
    )
    datasources: list[str] = Field(
        description="Allowed datasources; `*` matches any characters. Empty: any."
    )
    import_from: list[str] = Field(
        description="Buckets and prefixes to import from. Empty: imports are off."
    )


def router(services: Services, limits: Limits) -> APIRouter:
    """The route of this module; `limits` are those of the gateway."""
    routes = APIRouter(tags=["ingest"], responses=problems.RESPONSES)

    @routes.get("/api/limits", response_model=UploadLimits)
    async def read_limits() -> UploadLimits:
        """Read the limits: sizes, concurrency, datasources and import locations."""
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
