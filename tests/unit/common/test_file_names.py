"""File names: upload and validation share one table and one rule."""

from pathlib import Path

import pytest

from services.common import file_names
from services.common.errors import SluiceError
from services.upload.storing import names
from services.validation.reading import kinds
from services.validation.reading.faults import FileFault
from sluice.validation.v1.validation_pb2 import FileFormat

CSV = FileFormat.FILE_FORMAT_CSV


def test_every_format_has_an_extension_a_media_type_and_a_name() -> None:
    for format in FileFormat.values()[1:]:
        info = file_names.info_of(format)
        assert info.extensions
        assert info.media_type
        assert info.words
    assert file_names.words() == ".csv, .xlsx or .xls"


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.csv ", "a.csv\u200f", " a.b.csv\t"])
def test_upload_and_validation_accept_the_same_names(name: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"day,n\n2024-01-02,1\n")
    assert file_names.extension(name) == ".csv"
    assert names.object_key("d", name, "0" * 8, 1).endswith(".csv")
    assert kinds.detect_format(file, name) == CSV


@pytest.mark.parametrize("name", ["a", "csv", "a.txt", "a.csv.exe", "a.csv/", "a.xlsxx"])
def test_upload_and_validation_reject_the_same_names(name: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"day,n\n2024-01-02,1\n")
    with pytest.raises(SluiceError) as refused:
        names.object_key("d", name, "0" * 8, 1)
    with pytest.raises(FileFault) as fault:
        kinds.detect_format(file, name)
    assert refused.value.code == "FILE_TYPE_UNSUPPORTED"
    assert fault.value.problem.code == refused.value.reason
    assert fault.value.problem.message == refused.value.problem.message
