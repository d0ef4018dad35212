"""Converts JSON objects of clients to protobuf messages: `options` of an upload, settings of a
datasource.

Fields have their proto name or its camelCase form. Enum values have their short name in any case,
such as `auto` or `reject_row`.
"""

from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.documents import strict_json
from services.common.errors import SluiceError, error
from services.common.serving.interceptors import check
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import ReadOptions

M = TypeVar("M", bound=Message)

_NUMBERS = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}
_INTEGER_BITS = {
    FieldDescriptor.CPPTYPE_INT32: 32,
    FieldDescriptor.CPPTYPE_INT64: 64,
}


def read_options(given: object) -> ReadOptions | None:
    """Parse `options`, a JSON object or its text; None if it is missing or empty.

    Raises:
        SluiceError: REQUEST_INVALID with the field.
    """
    if given is None or given == "":
        return None
    if isinstance(given, str):
        try:
            given = strict_json.loads(given)
        except ValueError as failure:
            raise _invalid(
                "options", f"options must be the text of a JSON object: {failure}."
            ) from None
    return message(ReadOptions, given, "options")


def message(kind: type[M], given: object, name: str) -> M:
    """Convert a JSON object to a message and validate it; errors call the object `name`.

    Raises:
        SluiceError: REQUEST_INVALID with the field.
    """
    target = kind()
    _fill(target, given, name)
    try:
        check(target)
    except SluiceError as failure:
        failure.problem.column = f"{name}.{failure.problem.column}"
        raise
    return target


def _fill(target: Message, given: object, path: str) -> None:
    if not isinstance(given, dict):
        raise _invalid(path, f"{path} must be a JSON object.")
    fields = target.DESCRIPTOR.fields_by_name
    camel = {field.camelcase_name: field for field in fields.values()}
    for name, value in given.items():
        field = fields.get(name) or camel.get(name)
        field_path = f"{path}.{name}"[:200]
        if field is None:
            text = f"{path} has no field {str(name)[:100]!r}. Its fields are {', '.join(fields)}."
            raise _invalid(field_path, text)
        if value is None:
            continue
        if field.is_repeated:
            _fill_list(target, field, value, field_path)
        elif field.message_type is not None:
            child = getattr(target, field.name)
            child.SetInParent()
            _fill(child, value, field_path)
        else:
            setattr(target, field.name, _scalar(field, value, field_path))


def _fill_list(target: Message, field: Any, value: object, path: str) -> None:
    if not isinstance(value, list):
        raise _invalid(path, f"{path} must be a list.")
    items = getattr(target, field.name)
    for index, each in enumerate(value):
        if field.message_type is not None:
            _fill(items.add(), each, f"{path}[{index}]")
        else:
            items.append(_scalar(field, each, f"{path}[{index}]"))


def _scalar(field: Any, value: object, path: str) -> Any:
    if field.enum_type is not None:
        names = {each.name: each.number for each in field.enum_type.values}
        prefix = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
        number = names.get(f"{prefix}{value}".upper())
        if not isinstance(value, str) or not number:
            known = ", ".join(
                each.removeprefix(prefix).lower() for each, number in names.items() if number
            )
            raise _invalid(path, f"{path} must be one of {known}.", value)
        return number
    match value:
        case bool() if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return value
        case bool():
            pass
        case str() if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and "\0" not in value:
            return value
        case int() | float() if field.cpp_type in _NUMBERS:
            return float(value)
        case int() if (bits := _INTEGER_BITS.get(field.cpp_type)) and abs(value) < 1 << (bits - 1):
            return value
    raise _invalid(path, f"{path} has a value of the wrong type.", value)


def _invalid(column: str, text: str, value: object = "") -> SluiceError:
    return error(
        ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column=column, value=str(value)[:200]
    )
