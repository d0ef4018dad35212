"""Safe fragments of Druid SQL. Values are passed as parameters, never as text."""


def identifier(name: str) -> str:
    """Quote an identifier, which may contain any character."""
    return '"' + name.replace('"', '""') + '"'
