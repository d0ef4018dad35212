"""A file that cannot be read as a table."""

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason, Problem


class FileFault(Exception):  # noqa: N818 - a finding about the file, not a failure of the program
    """Ends the reading. `problem` goes into the report of the REJECTED file."""

    def __init__(
        self,
        reason: "ErrorReason.ValueType",
        message: str,
        *,
        line: int | None = None,
        value: object = "",
        action: str = "",
    ) -> None:
        super().__init__(message)
        self.problem: Problem = errors.problem(
            reason, message, line=line, value=value, action=action
        )


def encrypted() -> FileFault:
    """Return the fault of a workbook with a password."""
    return FileFault(
        ErrorReason.ERROR_REASON_FILE_ENCRYPTED, "The workbook is protected by a password."
    )
