"""How the rows come to be read makes no difference to the report: in few or many batches, each
column with a closer look or without, at once or while they still arrive.
"""

import random
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.validation.columns.evidence import Candidates
from services.validation.process import early
from services.validation.process.growth import Growth
from services.validation.reading import blocks, sink
from services.validation.report import survey
from services.validation.report.examination import examine
from sluice.validation.v1.validation_pb2 import Report, ValidateObjectRequest
from tests.unit.validation.examining import LENIENT, LIMITS, TASK_ID, new_folder

MIB = 1024 * 1024

cells = st.sampled_from(
    [
        "1",
        "22",
        "-3",
        "4.5",
        "007",
        "1,5",
        "$ 6",
        "n.k.",
        "",
        "NULL",
        " 7",
        "8 ",
        "true",
        "No",
        "word",
        "2024-01-05",
        "1e3",
    ]
)


def report_of(
    data: bytes, folder: Path, growth: Growth | None = None, source: Path | None = None
) -> Report:
    """The report without what differs from run to run."""
    folder = new_folder(folder)
    if source is None:
        source = folder / "source"
        source.write_bytes(data)
    request = ValidateObjectRequest(
        task_id=TASK_ID, filename="table.csv", file_size=len(data), policy=LENIENT
    )
    if growth is not None:
        assert early.look(request, source, folder, LIMITS, growth, lambda _: None)
    report = examine(request, source, folder, LIMITS, lambda _: None, growth)
    del report.timings[:]
    return report


@pytest.mark.timeout(600)
@settings(max_examples=50)
@given(
    st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=25),
    st.integers(min_value=10, max_value=120),
)
def test_neither_batches_nor_a_closer_look_change_the_report(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], size: int
) -> None:
    folder = tmp_path_factory.mktemp("batches")
    lines = [
        f'2024-01-{number % 28 + 1:02},"{a}","{b}","{c}"' for number, (a, b, c) in enumerate(rows)
    ]
    data = "\n".join(["order date,a,b,c", *lines, ""]).encode()
    whole = report_of(data, folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sink, "BATCH_BYTES", size)
        patched.setattr(blocks, "BLOCK_BYTES", 4 * size)
        patched.setattr(survey, "FIRST_SAMPLE_ROWS", 3)
        assert report_of(data, folder) == whole
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Candidates, "fast", None)
        patched.setattr(Candidates, "is_text", False)
        assert report_of(data, folder) == whole


def arriving(path: Path, data: bytes, growth: Growth) -> Thread:
    """Writes the file piece by piece, and says so."""

    def write() -> None:
        chance = random.Random(5)
        with path.open("wb", buffering=0) as file:
            done = 0
            while done < len(data):
                done += file.write(data[done : done + chance.randrange(1, MIB)])
                growth.grow(done)
        growth.complete(ValidateObjectRequest(filename="table.csv", file_size=len(data)))

    path.touch()
    thread = Thread(target=write)
    thread.start()
    return thread


def lines(count: int) -> list[str]:
    return [
        f"2024-01-02 10:{number % 60:02}:{number % 59:02},customer {number},{number % 9},{number % 7}.5,note"
        for number in range(count)
    ]


LATE = 250_000
"""Further than the first batch goes."""


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="regular"),
        pytest.param({LATE: "2024-01-02 10:00:00,customer,1,2.5"}, id="a row too short"),
        pytest.param(
            {LATE: "2024-01-02 10:00:00,customer,n.k.,2.5,note"}, id="a value that does not fit"
        ),
        pytest.param(
            {
                number: f"2024-01-02 10:00:00,customer,{number}.25,2.5,note"
                for number in range(LATE, LATE + 20)
            },
            id="fractions",
        ),
        pytest.param({LATE: "2024-01-02 10:00:00,caf\xe9,1,2.5,note"}, id="another encoding"),
        pytest.param({LATE: '2024-01-02 10:00:00,"one\ntwo",1,2.5,note'}, id="a line break"),
    ],
)
def test_a_file_that_arrives_has_the_report_of_one_that_is_there(
    tmp_path: Path, change: dict[int, str]
) -> None:
    rows = lines(400_000)
    for place, row in change.items():
        rows[place] = row
    data = "\n".join(["order time,name,units,amount,remark", *rows, ""]).encode("latin-1")
    growth, source = Growth(), tmp_path / "arriving"
    thread = arriving(source, data, growth)
    found = report_of(data, tmp_path, growth, source)
    thread.join()
    assert found == report_of(data, tmp_path)
    assert found.rows_read == 400_000
