"""Client for deleting stored files, each from the service that owns it."""

import grpc

from services.common import errors
from sluice.upload.v1.upload_pb2 import DeleteObjectsRequest
from sluice.upload.v1.upload_pb2_grpc import UploadServiceStub
from sluice.validation.v1.validation_pb2 import DeleteResultsRequest
from sluice.validation.v1.validation_pb2_grpc import ValidationServiceStub

DELETE_S = 30.0


class FilesRpc:
    """Implements ports.Files."""

    def __init__(self, upload: grpc.aio.Channel, validation: grpc.aio.Channel) -> None:
        self._upload = UploadServiceStub(upload)
        self._validation = ValidationServiceStub(validation)

    async def delete_upload(self, task_id: str) -> None:
        """Deletes the uploaded object."""
        await errors.answered(
            self._upload.DeleteObjects(DeleteObjectsRequest(task_id=task_id), timeout=DELETE_S),
            "upload",
        )

    async def delete_results(self, task_id: str) -> None:
        """Deletes everything that validation derived from it."""
        await errors.answered(
            self._validation.DeleteResults(DeleteResultsRequest(task_id=task_id), timeout=DELETE_S),
            "validation",
        )
