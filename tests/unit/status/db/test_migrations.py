"""The revisions of the tables are one chain, numbered in its order."""

import re
from pathlib import Path

from services.status import migrations

FOLDER = Path(next(iter(migrations.__path__))) / "versions"

BREAKING = re.compile(
    r"DROP\s+(TABLE|COLUMN|CONSTRAINT|FUNCTION)|\bRENAME\b|SET\s+NOT\s+NULL"
    r"|ALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE",
    re.IGNORECASE,
)
"""What a release that is older than the revision may not survive."""

FIRST = "0011"
"""The revisions before were made when no release asked whether it works with the database."""


def test_a_revision_that_breaks_older_releases_says_so() -> None:
    assert BREAKING.search("ALTER TABLE t ALTER COLUMN c TYPE BIGINT")
    assert BREAKING.search("ALTER TABLE t DROP CONSTRAINT mode_known")
    assert not BREAKING.search("ALTER TABLE t ADD COLUMN c TEXT NOT NULL DEFAULT ''")
    for path in FOLDER.glob("0*.py"):
        text = path.read_text()
        if path.name < FIRST:
            continue
        breaks = re.search(r'^breaks_before = "(\d{4})"$', text, re.M)
        if breaks:
            assert breaks[1] <= path.name[:4], path
        else:
            assert not BREAKING.search(text), f"{path}: state breaks_before (see script.py.mako)"


def test_the_revisions_are_one_chain() -> None:
    chain = []
    for path in sorted(FOLDER.glob("0*.py")):
        text = path.read_text()
        revision, before = (
            re.search(r'^revision = "(\d+)"', text, re.M),
            re.search(r'^down_revision = (?:"(\d+)"|None)', text, re.M),
        )
        assert revision, path
        assert before, path
        chain.append((path.name[:4], revision[1], before[1]))
    assert chain == [
        (f"{number:04}", f"{number:04}", f"{number - 1:04}" if number > 1 else None)
        for number in range(1, len(chain) + 1)
    ]
