"""All SQL of the service is in services/status/db and in the migrations."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import services.status

ROOT = Path(services.status.__file__).parent
ALLOWED = (ROOT / "db", ROOT / "migrations")
SQL = re.compile(
    r"\b(SELECT\s|INSERT INTO|UPDATE \w+ SET|DELETE FROM|WITH \w+ AS|RETURNING\s|pg_notify)"
)


def faults(path: Path) -> Iterator[str]:
    """Imports of asyncpg or SQLAlchemy, and texts with SQL."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                imported = [name.name for name in names]
            case ast.ImportFrom(module=module):
                imported = [module or ""]
            case ast.Constant(value=str(text)) if SQL.search(text):
                yield f"{path}:{node.lineno}: SQL"
                continue
            case _:
                continue
        if any(name.split(".")[0] in {"asyncpg", "sqlalchemy"} for name in imported):
            yield f"{path}:{node.lineno}: {imported}"


def test_all_sql_is_in_the_database_adapter() -> None:
    modules = list(ROOT.rglob("*.py"))
    found = {path: list(faults(path)) for path in modules}
    outside = [path for path in modules if not any(each in path.parents for each in ALLOWED)]
    assert any(found[path] for path in modules if path not in outside), "finds SQL where it is"
    assert [fault for path in outside for fault in found[path]] == []
