"""A workbook's table."""

from pathlib import Path

from services.validation.faults import FileFault
from services.validation.table import Table
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import FileFormat


def read(source: Path, format: "FileFormat.ValueType", limits: object) -> Table:
    raise FileFault(ErrorReason.ERROR_REASON_FILE_TYPE_UNSUPPORTED, "not yet")
