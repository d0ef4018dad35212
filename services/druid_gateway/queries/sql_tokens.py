"""A SQL text in tokens, cut by the same rules as Druid's parser cuts it (Apache Calcite with
double-quoted identifiers). What could be cut in two ways is refused: hints, unusual characters.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason


class Kind(Enum):
    """What a token is."""

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
    """A piece of the text; `start` is its place in it, from 0."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def word(self) -> str:
        """The keyword or function that it may be, in capitals; empty for everything quoted."""
        return self.text.upper() if self.kind is Kind.WORD else ""

    @property
    def name(self) -> str | None:
        """The identifier that it may be, folded to lower case."""
        if self.kind is Kind.QUOTED:
            return self.text[1:-1].replace('""', '"').casefold()
        return self.text.casefold() if self.kind is Kind.WORD else None

    @property
    def string(self) -> str | None:
        """The value of a string."""
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
    # No ; : & \ ` { } @ # ! $ ^ ~ and no control characters: none stands in a plain SELECT.
    (Kind.SYMBOL, r"<>|!=|<=|>=|\|\||=>|[()\[\],.*+\-/%=<>?|]"),
)
_TOKEN = re.compile("|".join(f"(?P<{kind.name}>{pattern})" for kind, pattern in _TOKENS), re.DOTALL)

_BLANK_KINDS = {Kind.SPACE, Kind.LINE_COMMENT, Kind.BLOCK_COMMENT}
_NOT_LINE_ENDS = re.compile(r"[^\r\n]")
_LINE_END = re.compile(r"\r\n|\r|\n")


def read(sql: str) -> tuple[Sequence[Token], str]:
    """The tokens that count, and the text without comments and without a closing semicolon; lines
    and columns stay where they are.

    Raises:
        SluiceError: QUERY_FORBIDDEN for what may not stand in a query, QUERY_INVALID for what no
            SQL text is; with the line.
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
            raise invalid(sql, at, "The comment that begins here has no end.")
        if token.kind in _BLANK_KINDS:
            bare.append(_NOT_LINE_ENDS.sub(" ", token.text))
        else:
            bare.append(token.text)
            tokens.append(token)
        at = token.end
    return tokens, "".join(bare)


def place(sql: str, at: int) -> tuple[int, int]:
    """Line and column of a place in the text, both from 1."""
    before = sql[:at]
    ends = list(_LINE_END.finditer(before))
    return len(ends) + 1, at - (ends[-1].end() if ends else 0) + 1


def forbidden(sql: str, at: int, message: str) -> errors.SluiceError:
    """QUERY_FORBIDDEN at a place in the text."""
    line, _ = place(sql, at)
    return errors.error(ErrorReason.ERROR_REASON_QUERY_FORBIDDEN, message, line=line)


def invalid(sql: str, at: int, message: str) -> errors.SluiceError:
    """QUERY_INVALID at a place in the text."""
    line, _ = place(sql, at)
    return errors.error(ErrorReason.ERROR_REASON_QUERY_INVALID, message, line=line)


def too_expensive(sql: str, at: int, what: str, message: str) -> errors.SluiceError:
    """QUERY_TOO_EXPENSIVE at a place in the text; `what` is the function or clause."""
    line, column = place(sql, at)
    return errors.error(
        ErrorReason.ERROR_REASON_QUERY_TOO_EXPENSIVE,
        f"{message} (line {line}, column {column}).",
        line=line,
        value=what,
        metadata={"sql_column": str(column)},
    )


def _only_blanks(sql: str, at: int) -> bool:
    """Nothing but blanks, comments and further semicolons from here."""
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if (
            match is not None
            and match.lastgroup is not None
            and Kind[match.lastgroup] in _BLANK_KINDS
        ):
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
                sql, at, "A query is a single statement; something follows the semicolon."
            )
        case "'":
            return invalid(sql, at, "The string that begins here has no closing quote.")
        case '"':
            return invalid(
                sql, at, "The quoted name that begins here is empty or has no closing quote."
            )
        case char:
            return forbidden(sql, at, f"The character {char!a} may only stand inside quotes.")
