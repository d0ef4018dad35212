"""Safe pieces of Druid SQL. Values travel as parameters, never as text."""


def identifier(name: str) -> str:
    """A quoted identifier; any character may stand in it."""
    return '"' + name.replace('"', '""') + '"'
