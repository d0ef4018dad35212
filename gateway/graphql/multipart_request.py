"""The GraphQL multipart request specification, read as a stream.

The parts are `operations`, `map` and the file. The operation starts before the file has arrived.
"""

from dataclasses import dataclass
from typing import Any

from multipart import MultipartSegment

from gateway.documents import strict_json
from gateway.intake.form import Form, IncomingFile
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason


@dataclass(frozen=True)
class Operation:
    """One GraphQL request."""

    query: str
    variables: dict[str, Any]
    name: str | None


def operation_of(value: object) -> Operation:
    """Return the request in a JSON value.

    Raises:
        SluiceError: REQUEST_INVALID, naming the field.
    """
    if not isinstance(value, dict):
        raise _invalid(
            "operations",
            "The request must be one GraphQL operation, a JSON object; batches are not supported.",
        )
    query, variables, name = value.get("query"), value.get("variables"), value.get("operationName")
    if not isinstance(query, str) or not query.strip():
        raise _invalid("query", "query must be the text of a GraphQL document.")
    if not isinstance(variables, dict | None):
        raise _invalid("variables", "variables must be a JSON object.")
    if not isinstance(name, str | None):
        raise _invalid("operationName", "operationName must be a text.")
    return Operation(query, variables or {}, name or None)


async def read_operation(form: Form) -> Operation:
    """Return the operation of a form, with the unread file among its variables.

    Raises:
        SluiceError: FIELD_ORDER, FIELD_MISSING, SECOND_FILE, REQUEST_INVALID; see Form.next.
    """
    operation = operation_of(_json("operations", await _field(form, "operations")))
    key, path = _single_file(_json("map", await _field(form, "map")))
    part = await form.next()
    if not isinstance(part, MultipartSegment) or part.name != key:
        raise error(
            ErrorReason.ERROR_REASON_FIELD_MISSING,
            f"After `map`, the part {key} with the file must come.",
            column=key,
        )
    if not part.filename:
        raise error(
            ErrorReason.ERROR_REASON_FIELD_MISSING,
            f"The part {key} has no file name: no file was chosen.",
            column=key,
        )
    _place(operation.variables, path, IncomingFile(form, part.filename))
    return operation


async def _field(form: Form, name: str) -> str:
    part = await form.next()
    if not isinstance(part, MultipartSegment) or part.name != name:
        text = f"The form must have `operations`, `map` and the file, in this order; `{name}` is missing or misplaced."
        action = "Send the form as the GraphQL multipart request specification orders it."
        raise error(ErrorReason.ERROR_REASON_FIELD_ORDER, text, column=name, action=action)
    return await form.field(part)


def _json(name: str, text: str) -> Any:
    try:
        return strict_json.loads(text)
    except ValueError as failure:
        raise _invalid(name, f"The field {name} is not valid JSON: {failure}.") from None


def _single_file(mapping: object) -> tuple[str, list[str]]:
    """Return the name of the file's part and the path of its variable."""
    if not isinstance(mapping, dict) or not all(
        isinstance(paths, list) and all(isinstance(path, str) for path in paths)
        for paths in mapping.values()
    ):
        raise _invalid(
            "map", 'The field map must be a JSON object such as {"0": ["variables.file"]}.'
        )
    paths = [(key, path) for key, paths in mapping.items() for path in paths]
    if len(paths) > 1:
        raise error(
            ErrorReason.ERROR_REASON_SECOND_FILE,
            "The field map names more than one file, or one file twice.",
            column="map",
        )
    if not paths:
        raise error(
            ErrorReason.ERROR_REASON_FIELD_MISSING, "The field map names no file.", column="map"
        )
    key, path = paths[0]
    steps = path.split(".")
    if len(steps) < 2 or steps[0] != "variables":
        raise _invalid("map", f"The path {path[:100]} does not lead to a variable.")
    return key, steps[1:]


def _place(variables: dict[str, Any], steps: list[str], file: IncomingFile) -> None:
    """Replace the null at the path by the file."""
    where = ".".join(["variables", *steps])
    owner: Any = variables
    for step in steps[:-1]:
        owner = owner.get(step) if isinstance(owner, dict) else None
    if not isinstance(owner, dict) or owner.get(steps[-1], file) is not None:
        raise _invalid(
            "map", f"The value at {where[:100]} must be null, to be replaced by the file."
        )
    owner[steps[-1]] = file


def _invalid(column: str, text: str) -> SluiceError:
    return error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column=column)
