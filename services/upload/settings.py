"""What the upload service reads from its environment."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from services.common.settings import Address, GrpcSettings, Names, S3Settings
from services.upload.receiving.callers import Trusted

MIB = 1024 * 1024
GIB = 1024 * MIB


def _places(uris: tuple[str, ...]) -> tuple[str, ...]:
    for uri in uris:
        if not uri.startswith("s3://") or uri.startswith("s3:///"):
            raise ValueError("each must be s3://bucket/ or s3://bucket/prefix/")
    return tuple(f"{uri.rstrip('/')}/" for uri in uris)


Places = Annotated[Names, AfterValidator(_places)]
"""s3://bucket/prefix/, each with a slash at its end."""


def _trusted(value: object) -> object:
    if not isinstance(value, str):
        return value
    return Trusted.of([entry.strip() for entry in value.split(",") if entry.strip()])


Gateways = Annotated[Trusted, NoDecode, BeforeValidator(_trusted)]
"""Networks in CIDR notation, addresses and host names, separated by commas."""


class Settings(GrpcSettings, S3Settings):
    """Settings of the upload service. One upload holds at most (PARTS_IN_FLIGHT + 1) parts in
    memory.
    """

    status_addr: Address = Field(description="Address of the status service, host:port.")
    validation_addr: Address | None = Field(
        None,
        description="Address of the validation service, host:port; it reads files while they arrive. Unset: once they are stored.",
    )
    max_file_size_bytes: int = Field(
        500 * MIB, gt=0, description="Largest file that is taken, in bytes."
    )
    part_size_bytes: int = Field(
        8 * MIB,
        ge=5 * MIB,
        le=512 * MIB,
        description="Size of a part in the object store, in bytes; larger for files of over 10,000 parts.",
    )
    parts_in_flight: int = Field(
        3,
        ge=1,
        le=32,
        description="Parts of one upload that are on their way to the object store at once.",
    )
    upload_idle_timeout_s: float = Field(
        30.0, gt=0, description="Seconds without a byte after which an upload is given up."
    )
    upload_min_bytes_per_s: int = Field(
        512,
        ge=0,
        description="Bytes a second, over 20 s of waiting for them, below which a connection is cut; 0 for any.",
    )
    upload_total_timeout_s: float = Field(
        4 * 3600.0, gt=0, description="Seconds that one connection may take to send a file."
    )
    upload_retention_s: int = Field(
        24 * 3600,
        ge=1,
        description="Seconds without a byte after which an unfinished resumable upload is given up.",
    )
    max_concurrent_uploads: int = Field(
        64, ge=1, description="Uploads that are received at once; more are refused."
    )
    max_concurrent_uploads_per_client: int = Field(
        16, ge=1, description="Uploads that are received at once from one client; more are refused."
    )
    max_bytes_in_flight: int = Field(
        16 * GIB,
        gt=0,
        description="Bytes of all uploads that are received at once, by their announced sizes or by what has come; more are refused.",
    )
    max_bytes_in_flight_per_client: int = Field(
        8 * GIB, gt=0, description="The same of the uploads of one client."
    )
    allowed_datasources: Names = Field(
        (),
        description="Datasources that may be loaded into, separated by commas; `*` stands for any characters. Unset: any.",
    )
    trusted_gateways: Gateways = Field(
        Trusted.of(["127.0.0.0/8", "::1/128"]),
        description="Callers that are believed when they name the client of an upload: networks "
        "(CIDR) and host names, separated by commas. Names are resolved. For every other caller its "
        "own address is the client. Default: this machine.",
    )
    import_from: Places = Field(
        (),
        description="Where files may be imported from, as s3://bucket/prefix/, separated by commas. Unset: nowhere.",
    )
    sweep_interval_s: float = Field(
        15.0,
        gt=0,
        description="Seconds between two searches for abandoned uploads, give or take a fifth.",
    )
    abandoned_after_s: int = Field(
        60,
        ge=1,
        description="Seconds without a sign of life after which the upload of a lost process is ended.",
    )
