"""The one error of this package that a person is meant to read."""


class LocalStackError(Exception):
    """Something that the person who runs the stack can act on; the text says what and how."""
