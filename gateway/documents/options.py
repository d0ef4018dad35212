"""JSON objects that clients send as protobuf messages: `options` of an upload, settings of a
datasource.

Names are the proto's, or the same in camelCase; enums go by their short name in any case, such as
`auto` or `reject_row`.
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
_WHOLE = {
    FieldDescriptor.CPPTYPE_INT32: 32,
    FieldDescriptor.CPPTYPE_INT64: 64,
}


def read_options(given: object) -> ReadOptions | None:
    """`options` as a JSON object, or as the text of one; None where nothing is given.

    Raises:
        SluiceError: REQUEST_INVALID, naming the field.
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
    """The message in a JSON object; `name` is what the object is called in errors.

    Raises:
        SluiceError: REQUEST_INVALID, naming the field.
    """
    made = kind()
    _fill(made, given, name)
    try:
        check(made)
    except SluiceError as refused:
        refused.problem.column = f"{name}.{refused.problem.column}"
        raise
    return made


def _fill(made: Message, given: object, path: str) -> None:
    if not isinstance(given, dict):
        raise _invalid(path, f"{path} must be a JSON object.")
    fields = made.DESCRIPTOR.fields_by_name
    camel = {field.camelcase_name: field for field in fields.values()}
    for name, value in given.items():
        field = fields.get(name) or camel.get(name)
        where = f"{path}.{name}"[:200]
        if field is None:
            raise _invalid(
                where, f"{path} has no field {str(name)[:100]!r}; it has {', '.join(fields)}."
            )
        if value is None:
            continue
        if field.is_repeated:
            _fill_list(made, field, value, where)
        elif field.message_type is not None:
            child = getattr(made, field.name)
            child.SetInParent()
            _fill(child, value, where)
        else:
            setattr(made, field.name, _scalar(field, value, where))


def _fill_list(made: Message, field: Any, value: object, where: str) -> None:
    if not isinstance(value, list):
        raise _invalid(where, f"{where} must be a list.")
    items = getattr(made, field.name)
    for place, each in enumerate(value):
        if field.message_type is not None:
            _fill(items.add(), each, f"{where}[{place}]")
        else:
            items.append(_scalar(field, each, f"{where}[{place}]"))


def _scalar(field: Any, value: object, where: str) -> Any:
    if field.enum_type is not None:
        names = {each.name: each.number for each in field.enum_type.values}
        prefix = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
        number = names.get(f"{prefix}{value}".upper())
        if not isinstance(value, str) or not number:
            known = ", ".join(
                each.removeprefix(prefix).lower() for each, number in names.items() if number
            )
            raise _invalid(where, f"{where} must be one of {known}.", value)
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
        case int() if (bits := _WHOLE.get(field.cpp_type)) and abs(value) < 1 << (bits - 1):
            return value
    raise _invalid(where, f"{where} has a value of the wrong kind.", value)


def _invalid(column: str, text: str, value: object = "") -> SluiceError:
    return error(
        ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column=column, value=str(value)[:200]
    )
