"""The exception of this package."""


class LocalStackError(Exception):
    """A failure that the user can fix. The text says what happened and what to do."""
