"""Settings of the validation service."""

import tempfile
from pathlib import Path

from pydantic import Field

from services.common.settings import GrpcSettings, S3Settings

MIB = 1024 * 1024
GIB = 1024 * MIB


class Settings(GrpcSettings, S3Settings):
    """Read from the environment."""

    spool_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / "sluice-spool",
        description="Local folder for files being read and parts being written.",
    )
    spool_max_bytes: int = Field(
        16 * GIB,
        gt=0,
        description="Limit of SPOOL_DIR in bytes, shared equally by the files that are read concurrently.",
    )
    max_children: int = Field(
        2,
        ge=1,
        le=64,
        description="Files that are read concurrently, each in its own process; others wait.",
    )
    max_inspections: int = Field(
        2,
        ge=0,
        le=64,
        description="Files that are read concurrently during their upload; others are read from the object store later.",
    )
    inspect_keep_s: float = Field(
        60.0,
        gt=0,
        description="Seconds for which a file that was read during its upload is kept on the local disk until its validation.",
    )
    memory_max_bytes: int | None = Field(
        None,
        ge=MIB,
        description="Memory limit in bytes of the service and its processes. "
        "Unset: the limit of the container, or the memory of the machine.",
    )
    child_memory_bytes: int = Field(
        4 * GIB,
        ge=128 * MIB,
        description="Memory limit in bytes of a file that is read alone; concurrent files have a share of the total.",
    )
    inspect_memory_bytes: int = Field(
        512 * MIB,
        ge=128 * MIB,
        description="Memory limit in bytes of a file during its upload; a file that needs more is read later.",
    )
    child_timeout_s: float = Field(
        900.0, gt=0, description="Time limit in seconds for reading one file."
    )
    max_columns: int = Field(2000, ge=1, description="Maximum number of columns in a file.")
    max_cells: int = Field(
        25_000_000, ge=1, description="Maximum number of cells in a workbook sheet."
    )
    max_inflated_bytes: int = Field(
        2 * GIB, ge=1, description="Maximum uncompressed size of an .xlsx file in bytes."
    )
    max_parts: int = Field(
        4, ge=1, le=64, description="Maximum number of parts that a large file is split into."
    )
    rejects_workbook_rows: int = Field(
        100_000,
        ge=1,
        le=1_000_000,
        description="Maximum number of rows in a rejects workbook; the CSV file has all rejects.",
    )
