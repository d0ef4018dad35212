"""Names of enum values, including values of newer releases."""

from google.protobuf.descriptor import EnumDescriptor

UNKNOWN = "UNKNOWN"
"""The name of a value that this release does not know."""


def short_name(kind: EnumDescriptor, number: int) -> str:
    """Return the name without the common prefix: PENDING for TASK_STATE_PENDING."""
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    known = kind.values_by_number.get(number)
    return known.name.removeprefix(prefix) if known else UNKNOWN
