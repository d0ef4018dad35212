"""The grammar of one record."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.validation.reading.records import Fields, Flaw, Grammar, write

COMMA = Grammar(b",")


@pytest.mark.parametrize(
    ("record", "values"),
    [
        (b"a,b", [b"a", b"b"]),
        (b"", [b""]),
        (b",", [b"", b""]),
        (b'"a,b",c', [b"a,b", b"c"]),
        (b'"say ""hi""",', [b'say "hi"', b""]),
        (b'"",""', [b"", b""]),
        (b'""""', [b'"']),
        (b'"a\nb",c', [b"a\nb", b"c"]),
    ],
)
def test_valid_records(record: bytes, values: list[bytes]) -> None:
    parsed = COMMA.parse(record)
    assert isinstance(parsed, Fields)
    assert (parsed.values, parsed.plain) == (values, True)


@pytest.mark.parametrize(
    ("record", "flaw"),
    [
        (b'"a', Flaw.OPEN),
        (b'a,"b', Flaw.OPEN),
        (b'a,"b""', Flaw.OPEN),
        (b'"a"b,c', Flaw.BROKEN),
        (b'"a" ,c', Flaw.BROKEN),
    ],
)
def test_invalid_records(record: bytes, flaw: Flaw) -> None:
    assert COMMA.parse(record) is flaw


def test_a_quote_inside_an_unquoted_field_is_data() -> None:
    assert COMMA.parse(b'37 36\'37.8"N,5" pipe') == Fields(
        [b"37 36'37.8\"N", b'5" pipe'], plain=False
    )


@given(
    st.lists(st.text(alphabet="ab ,;\"'\n", max_size=6), min_size=1, max_size=5),
    st.sampled_from(",;"),
)
def test_written_records_parse_to_the_same_fields(values: list[str], delimiter: str) -> None:
    encoded = [value.encode() for value in values]
    empty = frozenset(place for place, value in enumerate(encoded) if not value)
    for fields in (Fields(encoded), Fields(encoded, quoted_empty=empty)):
        assert Grammar(delimiter.encode()).parse(write(fields, delimiter.encode())) == fields


@given(st.lists(st.text(alphabet='ab ,;"', max_size=6), min_size=2, max_size=5))
def test_records_of_the_csv_module_parse_to_the_same_values(values: list[str]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    parsed = COMMA.parse(text.getvalue().encode())
    assert isinstance(parsed, Fields)
    assert parsed.values == [value.encode() for value in values]
