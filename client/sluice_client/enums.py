"""Names of enum values, also of those that only a newer release knows, which are numbers here."""

from google.protobuf.descriptor import EnumDescriptor

UNKNOWN = "UNKNOWN"
"""Shown for a value that this release does not know."""


def short_name(kind: EnumDescriptor, number: int) -> str:
    """PENDING for TASK_STATE_PENDING: the name without the prefix that all values share."""
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    known = kind.values_by_number.get(number)
    return known.name.removeprefix(prefix) if known else UNKNOWN
