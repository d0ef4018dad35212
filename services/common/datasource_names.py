"""Rules for datasource names: strict for new datasources, wider for existing ones."""

import re

from services.common import errors, file_names
from sluice.common.v1.errors_pb2 import ErrorReason

_CREATED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_READABLE = re.compile(r"[^\W_][\w.-]{0,127}")


def check(name: str) -> None:
    """Check the name of a datasource that may be created.

    It has 1 to 128 ASCII letters, digits, '_', '-' and '.', and starts with a letter or digit.

    Raises:
        SluiceError: DATASOURCE_NAME_INVALID.
    """
    _check(_CREATED, name)


def check_readable(name: str) -> None:
    """Check the name of an existing datasource: the same, with letters and digits of any script.

    Other programs may have created it.

    Raises:
        SluiceError: DATASOURCE_NAME_INVALID.
    """
    _check(_READABLE, name)


def _check(rule: re.Pattern[str], name: str) -> None:
    if rule.fullmatch(name):
        return
    reason = ErrorReason.ERROR_REASON_DATASOURCE_NAME_INVALID
    message = "The datasource name is empty."
    if name:
        message = f"The datasource name {file_names.shown(name)} is not valid."
    raise errors.error(reason, message, column="datasource", value=name)
