"""Tokenizer for SQL, with the rules of Druid's parser (Apache Calcite with double-quoted
identifiers). Ambiguous text is rejected: hints and unusual characters.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason


class Kind(Enum):
    """The kind of a token."""

    SPACE = "space"
    LINE_COMMENT = "line comment"
    HINT = "hint"
    BLOCK_COMMENT = "block comment"
    STRING = "string"
    QUOTED = "quoted identifier"
    NUMBER = "number"
    WORD = "word"
    SYMBOL = "symbol"


@dataclass(frozen=True)
class Token:
    """A token; `start` is its offset in the text, from 0."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def word(self) -> str:
        """The unquoted word in upper case; empty for other tokens."""
        return self.text.upper() if self.kind is Kind.WORD else ""

    @property
    def name(self) -> str | None:
        """The identifier, quoted or not, folded to lower case; None for other tokens."""
        if self.kind is Kind.QUOTED:
            return self.text[1:-1].replace('""', '"').casefold()
        return self.text.casefold() if self.kind is Kind.WORD else None

    @property
    def string(self) -> str | None:
        """The value of a string; None for other tokens."""
        return self.text[1:-1].replace("''", "'") if self.kind is Kind.STRING else None


_TOKENS = (
    (Kind.SPACE, r"[ \t\r\n\f]+"),
    (Kind.LINE_COMMENT, r"(?:--|//)[^\r\n]*"),
    (Kind.HINT, r"/\*\+"),
    (Kind.BLOCK_COMMENT, r"/\*.*?\*/"),
    (Kind.STRING, r"'(?:[^']|'')*'"),
    (Kind.QUOTED, r'"(?:[^"]|"")+"'),
    (Kind.NUMBER, r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?"),
    (Kind.WORD, r"[^\W0-9][\w$]*"),
    # A plain SELECT needs no ; : & \ ` { } @ # ! $ ^ ~ and no control characters.
    (Kind.SYMBOL, r"<>|!=|<=|>=|\|\||=>|[()\[\],.*+\-/%=<>?|]"),
)
_TOKEN = re.compile("|".join(f"(?P<{kind.name}>{pattern})" for kind, pattern in _TOKENS), re.DOTALL)

_RESERVED = """
    ALL AND ANY AS BETWEEN BY DISTINCT ESCAPE EXISTS FALSE FILTER FOR FROM GROUP IN INTERVAL IS
    LIKE NOT NULL OR ORDER OVER PARTITION SELECT SOME TRUE USING VALUES WITHIN"""
RESERVED = frozenset(_RESERVED.split())
"""Words that, without quotes, name neither a column nor a function."""

_BLANK_KINDS = {Kind.SPACE, Kind.LINE_COMMENT, Kind.BLOCK_COMMENT}
_NOT_LINE_ENDS = re.compile(r"[^\r\n]")
_LINE_END = re.compile(r"\r\n|\r|\n")


def tokenize(sql: str) -> tuple[Sequence[Token], str]:
    """Return the tokens, without spaces and comments, and the text with comments blanked out and
    without a final semicolon. Lines and columns stay the same.

    Raises:
        SluiceError: QUERY_FORBIDDEN for text that a query must not contain, QUERY_INVALID for text
            that is not SQL; both with the line.
    """
    sql = sql.rstrip(" \t\r\n\f")
    tokens: list[Token] = []
    bare: list[str] = []
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is None or match.lastgroup is None:
            if sql[at] == ";" and _only_blanks(sql, at + 1):
                break
            raise _unreadable(sql, at)
        token = Token(Kind[match.lastgroup], match.group(), at)
        if token.kind is Kind.HINT:
            raise forbidden(sql, at, "Hints (/*+ ... */) are not allowed in a query.")
        if token.kind is Kind.SYMBOL and sql.startswith("/*", at):
            raise invalid(sql, at, "The comment that begins here is not closed.")
        if token.kind in _BLANK_KINDS:
            bare.append(_NOT_LINE_ENDS.sub(" ", token.text))
        else:
            bare.append(token.text)
            tokens.append(token)
        at = token.end
    return tokens, "".join(bare)


def line_and_column(sql: str, at: int) -> tuple[int, int]:
    """Line and column of an offset in the text, both from 1."""
    before = sql[:at]
    ends = list(_LINE_END.finditer(before))
    return len(ends) + 1, at - (ends[-1].end() if ends else 0) + 1


def forbidden(sql: str, at: int, message: str) -> errors.SluiceError:
    """QUERY_FORBIDDEN with the line of the offset."""
    return errors.error(
        ErrorReason.ERROR_REASON_QUERY_FORBIDDEN, message, line=line_and_column(sql, at)[0]
    )


def invalid(sql: str, at: int, message: str) -> errors.SluiceError:
    """QUERY_INVALID with the line of the offset."""
    return errors.error(
        ErrorReason.ERROR_REASON_QUERY_INVALID, message, line=line_and_column(sql, at)[0]
    )


def too_expensive(sql: str, at: int, construct: str, message: str) -> errors.SluiceError:
    """QUERY_TOO_EXPENSIVE with the function or clause, and the line and column of the offset."""
    line, column = line_and_column(sql, at)
    return errors.error(
        ErrorReason.ERROR_REASON_QUERY_TOO_EXPENSIVE,
        f"{message} (line {line}, column {column}).",
        line=line,
        value=construct,
        metadata={"sql_column": str(column)},
    )


def _only_blanks(sql: str, at: int) -> bool:
    """Whether only spaces, comments and semicolons follow."""
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match and match.lastgroup and Kind[match.lastgroup] in _BLANK_KINDS:
            at = match.end()
        elif sql[at] == ";":
            at += 1
        else:
            return False
    return True


def _unreadable(sql: str, at: int) -> errors.SluiceError:
    match sql[at]:
        case ";":
            return forbidden(
                sql, at, "A query must be a single statement; text follows the semicolon."
            )
        case "'":
            return invalid(sql, at, "The string that begins here has no closing quote.")
        case '"':
            return invalid(
                sql, at, "The quoted name that begins here is empty or has no closing quote."
            )
        case char:
            return forbidden(sql, at, f"The character {char!a} is only allowed inside quotes.")
