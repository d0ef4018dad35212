"""Invalid files: the page shows the reasons, and accepts repaired rows."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor

ROWS = 2000
BAD = 40


@pytest.fixture
def bad_file(tmp_path: Path) -> Path:
    file = tmp_path / "orders.csv"
    lines = ["order_date,region,product,quantity,revenue"]
    for number in range(ROWS):
        quantity = "many" if number % (ROWS // BAD) == 0 else str(number % 9)
        lines.append(
            f"2024-{number % 12 + 1:02d}-{number % 28 + 1:02d},{'NESW'[number % 4]},p{number},{quantity},{number / 4}"
        )
    file.write_text("\n".join(lines) + "\n")
    return file


def test_rejected_rows_are_explained_repaired_and_added(
    visitor: Visitor, bad_file: Path, tmp_path: Path, new_datasource: Callable[[str], str]
) -> None:
    page, datasource = visitor.page, new_datasource("repaired")
    visitor.load(bad_file, datasource)
    visitor.until("SUCCEEDED")
    assert (visitor.rows("loaded"), visitor.rows("rejected")) == (ROWS - BAD, BAD)
    first = page.locator("#rejects tbody tr").first
    expect(first).to_contain_text("quantity")
    expect(first.locator("mark")).to_have_text("many")
    visitor.look("task-rejects")

    with page.expect_download() as saved:
        page.get_by_role("link", name="Download as CSV").click()
    repaired = tmp_path / "repaired.csv"
    with Path(saved.value.path()).open(newline="", encoding="utf-8-sig") as source:
        header, *rows = csv.reader(source)
    assert len(rows) == BAD
    column = len(header) - 2
    assert {row[column] for row in rows} == {"many"}
    with repaired.open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(header)
        writer.writerows([*row[:column], "1", *row[column + 1 :]] for row in rows)

    before = page.url
    page.locator("#rejects input[type=file]").set_input_files(str(repaired))
    page.wait_for_url(lambda url: "/tasks/" in url and url != before)
    visitor.until("SUCCEEDED")
    assert visitor.rows("loaded") == BAD
    assert visitor.ask(f'SELECT COUNT(*) FROM "{datasource}"').replace(",", "") == str(ROWS)


def test_a_file_that_cannot_be_loaded_says_why(
    visitor: Visitor, tmp_path: Path, new_datasource: Callable[[str], str]
) -> None:
    file = tmp_path / "hopeless.csv"
    file.write_text("name,colour,size\na,red,big\nb,blue,small\n")
    page = visitor.page
    visitor.load(file, new_datasource("hopeless"))
    visitor.until("REJECTED")
    expect(page.locator('.problems [data-code="NO_TIME_COLUMN"]')).to_be_visible()
    expect(page.locator(".problem-action").first).to_be_visible()
    visitor.look("task-rejected")


def test_files_that_are_not_tables_are_not_accepted(visitor: Visitor, tmp_path: Path) -> None:
    wrong, empty = tmp_path / "letter.pdf", tmp_path / "empty.csv"
    wrong.write_bytes(b"%PDF-1.7")
    empty.touch()
    visitor.open("/")
    visitor.choose(wrong, empty)
    expect(visitor.page.get_by_role("alert")).to_contain_text(
        "letter.pdf is not a .csv, .xlsx or .xls file"
    )
    expect(visitor.page.get_by_role("alert")).to_contain_text("empty.csv is empty")
    visitor.look("load-refused")
