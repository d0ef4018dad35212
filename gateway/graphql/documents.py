"""Object types derived from the JSON documents of the REST API and from protobuf messages.

A value of such a type is the document itself: a dict with the field names of REST.
"""

import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeAlias, get_args, get_origin

import strawberry
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel
from strawberry.utils.str_converters import to_camel_case

from gateway.documents import models
from gateway.graphql.types import JSON, Long
from sluice.common.v1.errors_pb2 import Problem

Document: TypeAlias = dict[str, Any]

_SCALARS: dict[int, Any] = {
    FieldDescriptor.CPPTYPE_BOOL: bool,
    FieldDescriptor.CPPTYPE_DOUBLE: float,
    FieldDescriptor.CPPTYPE_ENUM: str,
    FieldDescriptor.CPPTYPE_INT32: int,
    FieldDescriptor.CPPTYPE_INT64: Long,
    FieldDescriptor.CPPTYPE_STRING: str,
}


def value_of(source: Any, name: str) -> object:
    """Resolve a field of a document, or of an instance of a Strawberry type."""
    return source[name] if isinstance(source, dict) else getattr(source, name)


def as_json(typed: Any) -> Any:
    """Return the deprecated twin of a typed field: the same documents as a JSON leaf."""
    return strawberry.field(
        resolver=typed.base_resolver,
        graphql_type=JSON,
        description=typed.description,
        deprecation_reason=f"Use {to_camel_case(typed.base_resolver.name)}, which is typed.",
    )


@cache
def of_model(model: type[BaseModel]) -> Any:
    """Return the object type of a REST document."""
    fields = {
        name: (_of_annotation(field.annotation), field.description)
        for name, field in model.model_fields.items()
    }
    return _object(model.__name__, model.__doc__ or "", fields)


def _of_annotation(annotation: Any) -> Any:
    match get_origin(annotation):
        case types.UnionType:
            return _of_annotation(get_args(annotation)[0]) | None
        case origin if origin is list:
            return list[_of_annotation(get_args(annotation)[0])]  # type: ignore[misc]
        case origin if origin is Literal:
            return str
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return of_model(annotation)
    return {int: Long, Any: JSON | None}.get(annotation, annotation)


@cache
def of_message(message: Descriptor) -> Any:
    """Return the object type of a message, as `wire.message` converts it."""
    if message is Problem.DESCRIPTOR:
        return of_model(models.Problem)
    text = f"A {message.full_name}; see the protobuf contracts."
    return _object(
        message.name, text, {each.name: (_of_field(each), None) for each in message.fields}
    )


def _of_field(field: FieldDescriptor) -> Any:
    item, nullable = _of_value(field)
    if field.is_repeated:
        return list[item | None] if nullable else list[item]  # type: ignore[valid-type]
    return item | None if nullable or field.has_presence else item


def _of_value(field: FieldDescriptor) -> tuple[Any, bool]:
    """Return the type of one value, and whether a value without presence can be null."""
    if field.message_type is not None:
        is_time = field.message_type is Timestamp.DESCRIPTOR
        return str if is_time else of_message(field.message_type), False
    number = field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE
    unset = field.enum_type is not None or field.type == FieldDescriptor.TYPE_BYTES
    return _SCALARS[field.cpp_type], number or unset


def _object(name: str, description: str, fields: Mapping[str, tuple[Any, str | None]]) -> Any:
    namespace: dict[str, Any] = {
        field: strawberry.field(description=text) for field, (_, text) in fields.items()
    }
    namespace["__annotations__"] = {field: kind for field, (kind, _) in fields.items()}
    return strawberry.type(
        type(name, (), namespace), description=" ".join(description.split()) or None
    )
