"""Encodings are detected with certainty, assumed with a warning, or rejected."""

import pytest

from sluice.validation.v1.validation_pb2 import ReadOptions
from tests.unit.validation.examining import Examine

ROWS = [
    ("2024-01-01", "Straße in Köln, Ärger über Öl", 1),
    ("2024-01-02", "déjà vu à Besançon – l’été", 2),
    ("2024-01-03", "El niño comió jamón; ¿y tú?", 3),
    ("2024-01-04", "price 5 € – “quoted” naïve façade", 4),
]


def table(encoding: str, rows: list[tuple[str, str, int]] = ROWS) -> bytes:
    return (
        "date\ttext\tnumber\n" + "".join(f"{day}\t{text}\t{number}\n" for day, text, number in rows)
    ).encode(encoding)


@pytest.mark.parametrize(
    ("data", "encoding", "bom"),
    [
        (table("utf-8"), "utf-8", False),
        (b"\xef\xbb\xbf" + table("utf-8"), "utf-8", True),
        (b"\xff\xfe" + table("utf-16-le"), "utf-16le", True),
        (b"\xfe\xff" + table("utf-16-be"), "utf-16be", True),
        (table("cp1252"), "windows-1252", False),
    ],
)
def test_texts_are_read_exactly(examine: Examine, data: bytes, encoding: str, bom: bool) -> None:
    examined = examine(data)
    assert (examined.report.dialect.encoding, examined.report.dialect.bom) == (encoding, bom)
    assert [row["text"] for row in examined.rows()] == [text for _, text, _ in ROWS]
    assert examined.report.time.source_name == "date"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Привет мир, как дела", "cp1251"),
        ("Καλημέρα κόσμε", "cp1253"),
        ("中文名称测试数据", "gbk"),
        ("こんにちは世界", "shift_jis"),
        ("zażółć gęślą jaźń", "cp1250"),
        ("déjà vu été", "mac-roman"),
        ("déjà vu été", "cp850"),
        ("ıssız ağaç şişe", "cp1254"),
    ],
)
def test_other_code_pages_are_rejected_not_guessed(
    examine: Examine, text: str, encoding: str
) -> None:
    examined = examine(table(encoding, [("2024-01-01", "plain", 1), ("2024-01-02", text, 2)]))
    assert examined.codes == ["ENCODING_UNKNOWN"]
    assert examined.report.problems[0].line == 3


RUSSIAN = [
    "Заказ из Москвы, улица Ленина",
    "Доставка курьером",
    "Счёт оплачен",
    "Возврат покупателю",
    "Санкт-Петербург",
]
GREEK = [
    "Η παραγγελία από την Αθήνα",
    "παραδόθηκε σήμερα",
    "Θεσσαλονίκη",
    "πληρωμή με κάρτα",
    "επιστροφή προϊόντος",
]


@pytest.mark.parametrize(
    ("texts", "encoding"),
    [
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (RUSSIAN, "cp866"),
        (GREEK, "cp1253"),
        (GREEK, "iso8859-7"),
    ],
)
def test_a_code_page_is_detected_by_its_language_and_assumed(
    examine: Examine, texts: list[str], encoding: str
) -> None:
    examined = examine(table(encoding, [("2024-01-01", text, 1) for text in texts]))
    assert examined.codes == ["ENCODING_ASSUMED"]
    assert [row["text"] for row in examined.rows()] == texts


def test_the_most_likely_code_page_of_a_rejected_text_is_shown(examine: Examine) -> None:
    examined = examine(
        table(
            "shift_jis",
            [("2024-01-01", "東京都千代田区丸の内", 1), ("2024-01-02", "ありがとうございます", 2)],
        )
    )
    assert examined.codes == ["ENCODING_UNKNOWN"]
    (problem,) = examined.report.problems
    assert problem.value == "cp932"
    assert "東京都千代田区丸の内" in problem.action


@pytest.mark.parametrize(
    "data",
    [
        bytes(1000),
        b"\xff\xfed\x00a\x00t\x00e\x00\x00\xd8",
        b"date,a\n2024-01-01,\xff\xfe\x81\n",
    ],
)
def test_binary_data_is_rejected(examine: Examine, data: bytes) -> None:
    assert examine(data).codes == ["ENCODING_UNKNOWN"]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_bom_is_detected_by_its_zero_bytes(examine: Examine, codec: str) -> None:
    examined = examine("date,a\n2024-01-01,1\n2024-01-02,2\n".encode(codec))
    assert examined.codes == ["ENCODING_ASSUMED"]
    assert [row["a"] for row in examined.rows()] == ["1", "2"]


@pytest.mark.parametrize("codec", ["iso8859-2", "cp1251", "shift_jis", "utf-16"])
def test_a_specified_encoding_is_used(examine: Examine, codec: str) -> None:
    word = {"iso8859-2": "źródło", "cp1251": "слово", "shift_jis": "言葉", "utf-16": "слово"}[codec]
    examined = examine(
        f"date,a\n2024-01-01,{word}\n".encode(codec), options=ReadOptions(encoding=codec)
    )
    assert examined.codes == []
    assert [row["a"] for row in examined.rows()] == [word]


def test_an_unknown_encoding_is_rejected(examine: Examine) -> None:
    assert examine(b"date,a\n2024-01-01,1\n", options=ReadOptions(encoding="base64")).codes == [
        "OPTION_MISFIT"
    ]
