"""What the validation service reads from its environment."""

import tempfile
from pathlib import Path

from pydantic import Field

from services.common.settings import GrpcSettings, S3Settings

MIB = 1024 * 1024
GIB = 1024 * MIB


class Settings(GrpcSettings, S3Settings):
    """Settings of the validation service."""

    spool_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / "sluice-spool",
        description="Folder on a local disk for the files that are being read and the parts that are being made.",
    )
    spool_max_bytes: int = Field(
        16 * GIB,
        gt=0,
        description="Space in SPOOL_DIR, in bytes, shared out evenly among the files that are read at once.",
    )
    max_children: int = Field(
        2,
        ge=1,
        le=64,
        description="Files that are read at once, each in a process of its own; others wait.",
    )
    max_inspections: int = Field(
        2,
        ge=0,
        le=64,
        description="Files that are read at once while they are uploaded; others are read from the object store later.",
    )
    inspect_keep_s: float = Field(
        60.0,
        gt=0,
        description="Seconds for which a file that was read while it was uploaded waits on the local disk to be validated.",
    )
    memory_max_bytes: int | None = Field(
        None,
        ge=MIB,
        description="Memory that the service and all processes that read files may use, in bytes. "
        "Unset: the limit of the container, or the memory of the machine.",
    )
    child_memory_bytes: int = Field(
        4 * GIB,
        ge=128 * MIB,
        description="Memory for reading one file alone, in bytes; beside others it has a share.",
    )
    inspect_memory_bytes: int = Field(
        512 * MIB,
        ge=128 * MIB,
        description="Memory for a file during its upload, in bytes; one that needs more is read later.",
    )
    child_timeout_s: float = Field(
        900.0, gt=0, description="Seconds that reading one file may take."
    )
    max_columns: int = Field(2000, ge=1, description="Columns that a file may have.")
    max_cells: int = Field(
        25_000_000, ge=1, description="Cells that a sheet of a workbook may have."
    )
    max_inflated_bytes: int = Field(
        2 * GIB, ge=1, description="Bytes that an .xlsx file may hold when it is unpacked."
    )
    max_parts: int = Field(
        4, ge=1, le=64, description="Parts that a large file is cut into at most."
    )
    rejects_workbook_rows: int = Field(
        100_000,
        ge=1,
        le=1_000_000,
        description="Refused rows that the workbook of them holds at most; the CSV file has all.",
    )
