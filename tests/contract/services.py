"""Descriptors of the services."""

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from sluice.druid.v1 import druid_pb2
from sluice.status.v1 import status_pb2
from sluice.upload.v1 import upload_pb2
from sluice.validation.v1 import validation_pb2

SERVICES: dict[str, ServiceDescriptor] = {
    "upload": upload_pb2.DESCRIPTOR.services_by_name["UploadService"],
    "validation": validation_pb2.DESCRIPTOR.services_by_name["ValidationService"],
    "druid_gateway": druid_pb2.DESCRIPTOR.services_by_name["DruidGatewayService"],
    "status": status_pb2.DESCRIPTOR.services_by_name["StatusService"],
}
"""Service by process name."""


def path_of(method: MethodDescriptor) -> str:
    """The gRPC path of a method."""
    return f"/{method.containing_service.full_name}/{method.name}"
