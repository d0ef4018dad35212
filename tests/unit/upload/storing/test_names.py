"""Object keys are safe for any file name; rules for datasource names."""

import re
import unicodedata
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.common import file_names
from services.common.errors import SluiceError
from services.upload.storing import names

KEY = re.compile(
    r"uploads/[A-Za-z0-9][A-Za-z0-9_.-]{0,127}/[A-Za-z0-9_-]{1,80}_\d+_[0-9a-f]{8}\.(csv|xlsx|xls)"
)

any_stem = st.text(max_size=400)
any_extension = st.sampled_from([".csv", ".CSV", ".xlsx", ".XlsX", ".xls"])


@given(
    stem=any_stem, extension=any_extension, task_id=st.uuids().map(str), epoch=st.integers(0, 2**40)
)
@example("../../etc/passwd", ".csv", str(uuid.uuid4()), 1)
@example("..\\..\\boot", ".xls", str(uuid.uuid4()), 1)
@example("a/../../b", ".csv", str(uuid.uuid4()), 1)
@example("nul\0byte\r\nHeader: x", ".csv", str(uuid.uuid4()), 1)
@example("\u202efdp.slas", ".xlsx", str(uuid.uuid4()), 1)
@example("x" * 300, ".csv", str(uuid.uuid4()), 1)
@example("📈📉", ".csv", str(uuid.uuid4()), 1)
@example("", ".csv", str(uuid.uuid4()), 1)
def test_every_file_name_gives_a_safe_key(
    stem: str, extension: str, task_id: str, epoch: int
) -> None:
    key = names.object_key("sales", stem + extension, task_id, epoch)
    assert KEY.fullmatch(key)
    assert key.startswith("uploads/sales/")
    assert key.endswith(f"_{epoch}_{task_id[:8]}{extension.lower()}")
    assert len(key.encode()) <= 1024


@given(stem=any_stem)
def test_the_stem_is_the_same_for_all_encodings_of_the_same_characters(stem: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, stem + ".csv") for form in ("NFC", "NFD"))
    assert names.safe_stem(composed) == names.safe_stem(decomposed)


@pytest.mark.parametrize(
    ("filename", "stem"),
    [
        ("Sample - Superstore.csv", "Sample_-_Superstore"),
        ("Umsätze März.xlsx", "Umsatze_Marz"),
        ("/home/me/Q1.report.final.xls", "Q1_report_final"),
        ("C:\\Users\\me\\q2.csv", "q2"),
        ("data.csv.csv", "data_csv"),
        ("売上.csv", "file"),
        (".csv", "file"),
        ("  padded .csv ", "padded"),
    ],
)
def test_the_stem_resembles_the_name(filename: str, stem: str) -> None:
    assert names.safe_stem(filename) == stem


@pytest.mark.parametrize(
    ("name", "allowed"), [("sales", True), ("eu_sales", True), ("Sales", False), ("sales2", False)]
)
def test_an_allow_list_of_datasources(name: str, allowed: bool) -> None:
    names.check_datasource(name)
    if allowed:
        names.check_datasource(name, ("sales", "eu_*"))
        return
    with pytest.raises(SluiceError) as refused:
        names.check_datasource(name, ("sales", "eu_*"))
    assert refused.value.code == "DATASOURCE_NAME_INVALID"
    assert "sales, eu_*" in refused.value.problem.action


@pytest.mark.parametrize(
    "filename", ["a.csv", "a.CSV", "a.b.xlsx", "a.xls", "a.csv ", "a.csv\u200f"]
)
def test_a_supported_extension_is_found(filename: str) -> None:
    assert file_names.extension(filename) in {".csv", ".xlsx", ".xls"}


@pytest.mark.parametrize(
    "filename",
    ["a", "csv", "a.txt", "a.csv.exe", "a.xlsm", "a.csv/", "a.csv\0.exe", "a.xlsxx", "a.csv.gz"],
)
def test_another_extension_is_rejected(filename: str) -> None:
    with pytest.raises(SluiceError) as refusal:
        file_names.extension(filename)
    assert refusal.value.code == "FILE_TYPE_UNSUPPORTED"


@pytest.mark.parametrize("name", ["a", "Sales_2026-Q1.v2", "0", "9lives", "x" * 128])
def test_a_valid_datasource_name(name: str) -> None:
    names.check_datasource(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".a",
        "-a",
        "_a",
        "a b",
        "a/b",
        "../a",
        "ä",
        "a\n",
        "٣",
        "x" * 129,
        "a\0",
        'a"b',
        "a;drop",
    ],
)
def test_an_invalid_datasource_name(name: str) -> None:
    with pytest.raises(SluiceError) as refusal:
        names.check_datasource(name)
    assert refusal.value.code == "DATASOURCE_NAME_INVALID"
    assert refusal.value.problem.value == name[:200]


@given(st.text(max_size=140))
def test_a_datasource_name_is_valid_exactly_if_it_follows_the_rule(name: str) -> None:
    letters = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    fits = 1 <= len(name) <= 128 and name[0] in letters and set(name) <= letters | set("_-.")
    try:
        names.check_datasource(name)
    except SluiceError:
        assert not fits
    else:
        assert fits
