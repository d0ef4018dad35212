"""The revisions of the tables are one chain, numbered in its order."""

import re
from pathlib import Path

from services.status import migrations

FOLDER = Path(next(iter(migrations.__path__))) / "versions"


def test_the_revisions_are_one_chain() -> None:
    chain = []
    for path in sorted(FOLDER.glob("0*.py")):
        text = path.read_text()
        revision, before = re.search(r'^revision = "(\d+)"', text, re.M), re.search(r'^down_revision = (?:"(\d+)"|None)', text, re.M)
        assert revision, path
        assert before, path
        chain.append((path.name[:4], revision[1], before[1]))
    assert chain == [(f"{number:04}", f"{number:04}", f"{number - 1:04}" if number > 1 else None) for number in range(1, len(chain) + 1)]
