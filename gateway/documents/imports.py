"""Imports files from buckets, for REST and GraphQL."""

from gateway.documents import wire
from gateway.documents.options import read_options
from gateway.ports import Uploads
from sluice.upload.v1.upload_pb2 import ImportObjectRequest


async def begin(
    uploads: Uploads,
    request_id: str,
    client: str,
    uri: str,
    datasource: str,
    mode: str,
    options: object,
    *,
    allow_duplicate: bool,
) -> str:
    """Import a file; returns the task id once the object store has copied the file.

    Raises:
        SluiceError: see ImportObject; REQUEST_INVALID for an unknown mode or option.
    """
    request = ImportObjectRequest(
        request_id=request_id,
        uri=uri,
        datasource=datasource,
        load_mode=wire.load_mode(mode),
        allow_duplicate=allow_duplicate,
        options=read_options(options),
        client=client,
    )
    return (await uploads.import_object(request)).upload_id
