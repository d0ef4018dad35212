"""A file that lies in a bucket already, taken from there in REST and GraphQL alike."""

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
    """The id of the task, once the object store has copied the file.

    Raises:
        SluiceError: as ImportObject; REQUEST_INVALID for a mode or an option that there is not.
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
