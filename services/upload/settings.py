"""Settings of the upload service."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from services.common.settings import Address, GrpcSettings, Names, S3Settings
from services.upload.receiving.callers import Trusted

MIB = 1024 * 1024
GIB = 1024 * MIB


def _import_prefixes(uris: tuple[str, ...]) -> tuple[str, ...]:
    for uri in uris:
        if not uri.startswith("s3://") or uri.startswith("s3:///"):
            raise ValueError("each must be s3://bucket/ or s3://bucket/prefix/")
    return tuple(f"{uri.rstrip('/')}/" for uri in uris)


ImportPrefixes = Annotated[Names, AfterValidator(_import_prefixes)]
"""s3://bucket/prefix/, each with a slash at the end."""


def _trusted(value: object) -> object:
    if not isinstance(value, str):
        return value
    return Trusted.of([entry.strip() for entry in value.split(",") if entry.strip()])


Gateways = Annotated[Trusted, NoDecode, BeforeValidator(_trusted)]
"""Networks in CIDR notation, addresses and host names, separated by commas."""


class Settings(GrpcSettings, S3Settings):
    """Settings of the upload service.

    An upload has up to PARTS_IN_FLIGHT + 1 parts in memory.
    """

    status_addr: Address = Field(description="Address of the status service, host:port.")
    validation_addr: Address | None = Field(
        None,
        description="Address of the validation service, host:port, which reads files as they "
        "arrive. Unset: it reads them after the upload.",
    )
    max_file_size_bytes: int = Field(
        500 * MIB, gt=0, description="Maximum size of a file, in bytes."
    )
    part_size_bytes: int = Field(
        8 * MIB,
        ge=5 * MIB,
        le=512 * MIB,
        description="Size of a part in the object store, in bytes. Larger if a file would have "
        "more than 10,000 parts.",
    )
    parts_in_flight: int = Field(
        3,
        ge=1,
        le=32,
        description="Parts of one upload that are sent to the object store concurrently.",
    )
    upload_idle_timeout_s: float = Field(
        30.0, gt=0, description="Seconds without a byte after which a connection is closed."
    )
    upload_min_bytes_per_s: int = Field(
        512,
        ge=0,
        description="Minimum bytes per second, over 20 s of waiting for them; slower connections "
        "are closed. 0: no minimum.",
    )
    upload_total_timeout_s: float = Field(
        4 * 3600.0, gt=0, description="Seconds that a connection may take to send a file."
    )
    upload_retention_s: int = Field(
        24 * 3600,
        ge=1,
        description="Seconds without a byte after which an unfinished resumable upload expires.",
    )
    max_concurrent_uploads: int = Field(
        64, ge=1, description="Concurrent uploads in total; more are rejected."
    )
    max_concurrent_uploads_per_client: int = Field(
        16, ge=1, description="Concurrent uploads per client; more are rejected."
    )
    max_bytes_in_flight: int = Field(
        16 * GIB,
        gt=0,
        description="Total bytes of concurrent uploads, by announced size or, if larger, received "
        "bytes; more are rejected.",
    )
    max_bytes_in_flight_per_client: int = Field(8 * GIB, gt=0, description="The same per client.")
    allowed_datasources: Names = Field(
        (),
        description="Datasources that files may be uploaded to, separated by commas; `*` matches "
        "any characters. Unset: all.",
    )
    trusted_gateways: Gateways = Field(
        Trusted.of(["127.0.0.0/8", "::1/128"]),
        description="Callers that may name the client of an upload: networks (CIDR) and host "
        "names, separated by commas. For all other callers, the client is their own address. "
        "Default: this machine.",
    )
    import_from: ImportPrefixes = Field(
        (),
        description="Where files may be imported from: s3://bucket/prefix/, separated by commas. "
        "Unset: nowhere.",
    )
    sweep_interval_s: float = Field(
        15.0,
        gt=0,
        description="Seconds between two sweeps for abandoned uploads, ± 20 %.",
    )
    abandoned_after_s: int = Field(
        60,
        ge=1,
        description="Seconds without a heartbeat after which the one-shot upload of a dead "
        "process is ended.",
    )
