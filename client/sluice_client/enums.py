"""Short names of enum values, including those that only newer releases define."""

from google.protobuf.descriptor import EnumDescriptor

UNKNOWN = "UNKNOWN"
"""Name of a value that this release does not define."""


def short_name(kind: EnumDescriptor, number: int) -> str:
    """Return the name without the prefix that all values share: PENDING for TASK_STATE_PENDING."""
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    known = kind.values_by_number.get(number)
    return known.name.removeprefix(prefix) if known else UNKNOWN
