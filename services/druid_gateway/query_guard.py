"""Lets through one read-only SQL statement over user tables, and nothing else.

The text is cut into tokens by the same rules as Druid's parser (Apache Calcite with double-quoted identifiers), with whatever could be
cut in two ways refused: hints, escaped strings, unicode identifiers. Comments are replaced by blanks, so that Druid sees none.
"""

import re
from dataclasses import dataclass
from enum import Enum

from services.common import errors
from services.druid_gateway.endpoints import FORBIDDEN_SCHEMAS
from sluice.common.v1.errors_pb2 import ErrorReason


class _Kind(Enum):
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
class _Token:
    kind: _Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def word(self) -> str:
        """The keyword or function that it may be, in capitals; empty for everything quoted."""
        return self.text.upper() if self.kind is _Kind.WORD else ""

    @property
    def name(self) -> str | None:
        """The identifier that it may be, folded to lower case."""
        if self.kind is _Kind.QUOTED:
            return self.text[1:-1].replace('""', '"').casefold()
        return self.text.casefold() if self.kind is _Kind.WORD else None


_TOKENS = (
    (_Kind.SPACE, r"[ \t\r\n\f]+"),
    (_Kind.LINE_COMMENT, r"(?:--|//)[^\r\n]*"),
    (_Kind.HINT, r"/\*\+"),
    (_Kind.BLOCK_COMMENT, r"/\*.*?\*/"),
    (_Kind.STRING, r"'(?:[^']|'')*'"),
    (_Kind.QUOTED, r'"(?:[^"]|"")+"'),
    (_Kind.NUMBER, r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?"),
    (_Kind.WORD, r"[^\W0-9][\w$]*"),
    # No ; : & \ ` { } @ # ! $ ^ ~ and no control characters: none stands in a plain SELECT.
    (_Kind.SYMBOL, r"<>|!=|<=|>=|\|\||=>|[()\[\],.*+\-/%=<>?|]"),
)
_TOKEN = re.compile("|".join(f"(?P<{kind.name}>{pattern})" for kind, pattern in _TOKENS), re.DOTALL)

_BLANK_KINDS = {_Kind.SPACE, _Kind.LINE_COMMENT, _Kind.BLOCK_COMMENT}
_NOT_LINE_ENDS = re.compile(r"[^\r\n]")

_STARTS = {"SELECT", "WITH"}
_WRITES = {"INSERT", "UPSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "DROP", "ALTER", "GRANT", "REVOKE", "TRUNCATE", "CALL", "DESCRIBE"}
"""Words that Calcite reserves, so that none of them is the plain name of a column."""
_TABLE_FUNCTIONS = {"TABLE", "EXTERN", "EXTEND"}
_TYPED_STRINGS = {"DATE", "TIME", "TIMESTAMP", "INTERVAL"}
"""Words that may stand right before a string's quote; others, such as E and U&, change how the string is read."""


def check(sql: str) -> str:
    """The statement without comments and without a closing semicolon; lines stay where they are.

    Raises:
        SluiceError: QUERY_FORBIDDEN for what may not be asked, QUERY_INVALID for what no SQL statement is; with the line.
    """
    tokens, bare = _tokens(sql)
    if not tokens:
        raise errors.error(ErrorReason.ERROR_REASON_QUERY_INVALID, "The query is empty.")
    _check_start(sql, tokens)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        _check_word(sql, token, following)
        _check_schema(sql, token, following)
        _check_string_prefix(sql, token, following)
    return bare


def _tokens(sql: str) -> tuple[list[_Token], str]:
    """The tokens that count, and the text without comments."""
    sql = sql.rstrip(" \t\r\n\f")
    tokens: list[_Token] = []
    bare: list[str] = []
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is None or match.lastgroup is None:
            if sql[at] == ";" and _only_blanks(sql, at + 1):
                break
            raise _unreadable(sql, at)
        token = _Token(_Kind[match.lastgroup], match.group(), at)
        if token.kind is _Kind.HINT:
            raise _forbidden(sql, at, "Hints (/*+ ... */) are not allowed in a query.")
        if token.kind is _Kind.SYMBOL and sql.startswith("/*", at):
            raise _invalid(sql, at, "The comment that begins here has no end.")
        if token.kind in _BLANK_KINDS:
            bare.append(_NOT_LINE_ENDS.sub(" ", token.text))
        else:
            bare.append(token.text)
            tokens.append(token)
        at = token.end
    return tokens, "".join(bare)


def _only_blanks(sql: str, at: int) -> bool:
    """Nothing but blanks, comments and further semicolons from here."""
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is not None and match.lastgroup is not None and _Kind[match.lastgroup] in _BLANK_KINDS:
            at = match.end()
        elif sql[at] == ";":
            at += 1
        else:
            return False
    return True


def _check_start(sql: str, tokens: list[_Token]) -> None:
    words = [token.word for token in tokens]
    if words[0] == "EXPLAIN":
        if words[1:3] != ["PLAN", "FOR"]:
            raise _forbidden(sql, tokens[0].start, "Of EXPLAIN only EXPLAIN PLAN FOR is allowed.")
        tokens = tokens[3:]
    first = next((token for token in tokens if token.text != "("), None)
    if first is None or first.word not in _STARTS:
        at = first.start if first else len(sql)
        raise _forbidden(sql, at, "Only a SELECT, WITH or EXPLAIN PLAN FOR statement is allowed.")


def _check_word(sql: str, token: _Token, following: _Token | None) -> None:
    after = following.word if following else ""
    if token.word in _WRITES or (token.word == "REPLACE" and after == "INTO"):
        raise _forbidden(sql, token.start, f"{token.word} is not allowed in a query.")
    if token.word in _TABLE_FUNCTIONS:
        raise _forbidden(sql, token.start, f"{token.word} is not allowed: a query reads datasources only.")


def _check_schema(sql: str, token: _Token, following: _Token | None) -> None:
    if token.name in FORBIDDEN_SCHEMAS and following is not None and following.text == ".":
        raise _forbidden(
            sql, token.start, f"{token.text} is not a schema that queries may read (nor a name for a table in a query); use druid or none."
        )


def _check_string_prefix(sql: str, token: _Token, following: _Token | None) -> None:
    if following is None or following.start != token.end:
        return
    if token.kind is _Kind.WORD and following.kind in (_Kind.STRING, _Kind.QUOTED) and token.word not in _TYPED_STRINGS:
        raise _forbidden(sql, token.start, f"A string or name with the prefix {token.text} is not allowed; write it without.")


def _unreadable(sql: str, at: int) -> errors.SluiceError:
    match sql[at]:
        case ";":
            return _forbidden(sql, at, "A query is a single statement; something follows the semicolon.")
        case "'":
            return _invalid(sql, at, "The string that begins here has no closing quote.")
        case '"':
            return _invalid(sql, at, "The quoted name that begins here is empty or has no closing quote.")
        case char:
            return _forbidden(sql, at, f"The character {char!a} may only stand inside quotes.")


def _forbidden(sql: str, at: int, message: str) -> errors.SluiceError:
    return errors.error(ErrorReason.ERROR_REASON_QUERY_FORBIDDEN, message, line=_line(sql, at))


def _invalid(sql: str, at: int, message: str) -> errors.SluiceError:
    return errors.error(ErrorReason.ERROR_REASON_QUERY_INVALID, message, line=_line(sql, at))


def _line(sql: str, at: int) -> int:
    return len(re.findall(r"\r\n|\r|\n", sql[:at])) + 1
