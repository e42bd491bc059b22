"""SQL as text: parsing, ``:name`` parameters, types, names and quoting; the only module that imports pglast.

pglast carries one grammar, that of its own PostgreSQL major; what an older server makes of a statement is not known
here. Offsets are indexes of characters in the text as the user wrote it.

A parameter is a colon directly followed by an unquoted identifier, where SQL expects a value. A colon stands for
itself in strings, quoted names, comments, dollar quotes, ``::`` and ``:=``, and where SQL has one of its own after a
value: between the bounds of a slice and between key and value of ``JSON_OBJECT``. So ``a[:n]`` is the element at the
parameter n, ``a[1:n]`` a slice up to the column n, and ``a[1: :n]`` a slice up to the parameter n.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from pglast import ast, keywords, parser

from pgbgw import _sqlkinds, _sqltypes
from pgbgw._sqlkinds import Piece
from pgbgw._sqlparams import Use, original, placeholders, written

__all__ = [
    "Parameter", "ParsedSql", "Piece", "SqlError", "SqlType", "keyword_kind", "near", "parse", "parse_function_name",
    "parse_type", "pieces", "quote_ident", "quote_literal",
]  # fmt: skip

SqlErrorKind = Literal["syntax", "empty", "many", "transaction_control", "not_in_block", "parameter", "unsupported"]
KeywordKind = Literal["unreserved", "col_name", "type_func_name", "reserved"]

# The parser recurses once per operator of a chain such as 1+1+1, up to 400 bytes of C stack for each token, and checks
# no depth: these bounds keep it within 4 MB, half of the usual stack, and the time within a second or two.
_MAX_CHARACTERS = 65_536
_MAX_TOKENS = 10_000

_OFTEN_MISSING = {"DELETE": "FROM", "INSERT": "INTO", "MERGE": "INTO", "UPDATE": "SET"}
_PLACEHOLDER_HINT = "Write a parameter as a colon and its name, as in :id."
_VALUE_HINT = (
    "A parameter stands for a value, not for a name or a keyword; a type follows two colons, as in :id::bigint."
)


class SqlError(Exception):
    """Text that can't be used as the SQL, type or name it was meant to be.

    ``message`` is in lower case without a full stop and ``hint`` a sentence, as PostgreSQL has them; ``offset`` is the
    index of the offending character in the original text. ``kind`` tells callers which diagnostic it becomes.
    """

    def __init__(self, message: str, offset: int = 0, kind: SqlErrorKind = "syntax", hint: str | None = None) -> None:
        super().__init__(message)
        self.kind: SqlErrorKind = kind
        self.message = message
        self.offset = offset
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Parameter:
    """A ``:name`` of a statement; ``offset`` is that of the colon of its first use. Names are case-sensitive."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class ParsedSql:
    """One statement that a worker may run.

    ``text`` is what was written and ``sql`` the same with ``$n`` for each ``:name``, numbered by first use. ``node`` is
    the class of the parse tree ("SelectStmt") and ``command`` the words for messages ("CREATE INDEX CONCURRENTLY").

    ``read_only`` tells that the shape of the statement passes ``CommandIsReadOnly()`` of tcop/utility.c, so that SPI
    accepts it with read_only = true: SELECT, VALUES and TABLE without a locking clause, INTO or data-modifying CTE at
    any depth. SPI counts EXPLAIN and SHOW as writing. A function called by the statement may write all the same.

    ``returns_rows``: always has a result set; CALL and EXECUTE, which may have one, don't count. ``outside_block``: the
    server refuses or may refuse it in a transaction block (the callers of ``PreventInTransactionBlock()``); partitioned
    tables under REINDEX and CLUSTER, where the catalog decides, are not told. ``accepts_parameters``: parse analysis
    resolves ``$n`` in it.
    """

    text: str
    sql: str
    parameters: tuple[Parameter, ...]
    node: str
    command: str
    read_only: bool
    returns_rows: bool
    outside_block: bool
    accepts_parameters: bool
    uses: tuple[Use, ...] = field(repr=False)

    def original_offset(self, offset: int) -> int:
        """The index in ``text`` of the character at ``offset`` in ``sql``; inside a ``$n``, that of its colon."""
        return original(self.uses, offset)

    def require_block(self) -> None:
        """Refuse a statement that can't run inside a transaction block.

        Raises:
            SqlError: of kind "not_in_block".
        """
        if self.outside_block:
            start = next((token.start for token in _tokens(self.text) if token.name != "ASCII_59"), 0)
            hint = "Declare the worker with transaction=False, which runs the statement at top level."
            raise SqlError(f"{self.command} cannot run inside a transaction block", start, "not_in_block", hint)


@dataclass(frozen=True, slots=True)
class SqlType:
    """A type by name: ``sql`` as ``format_type()`` spells it ("character varying(20)[]"), ``internal`` the element's
    name in ``pg_type`` ("varchar"), ``oid`` that of the type itself (of the array, for an array), None unless built in.
    """

    sql: str
    internal: str
    oid: int | None
    array: bool


def parse(text: str) -> ParsedSql:
    """Parse exactly one statement; a trailing semicolon is allowed.

    Raises:
        SqlError: for anything that is no statement a worker may run, with the offset of the culprit.
    """
    tokens = _tokens(text)
    start = next((token.start for token in tokens if token.name != "ASCII_59"), None)
    if start is None:
        raise SqlError("SQL text is empty", 0, "empty", "Write one SQL statement.")
    for token in tokens:
        if token.name == "PARAM":
            raise SqlError(f'"{written(text, token)}" is not allowed', token.start, "parameter", _PLACEHOLDER_HINT)
    sql, parameters, uses = _substitute(text, tokens)
    statement = _statement(text, sql, tokens, uses)
    words = [written(text, token).upper() for token in tokens if token.start >= start]
    command = _sqlkinds.command(statement, words[:8])
    if refusal := _sqlkinds.refusal(statement, command):
        kind, message, hint = refusal
        raise SqlError(message, start, kind, hint)
    accepts = _sqlkinds.accepts_parameters(statement)
    if parameters and not accepts:
        hint = "SELECT, VALUES, INSERT, UPDATE, DELETE, MERGE and CALL take parameters."
        raise SqlError(f"{command} takes no parameters", parameters[0].offset, "parameter", hint)
    if (misplaced := _sqlkinds.misplaced(statement)) is not None:
        offset = original(uses, misplaced)
        name = next(text[use.text_start : use.text_end] for use in uses if use.text_start == offset)
        raise SqlError(f'syntax error at or near "{name}"', offset, "syntax", _VALUE_HINT)
    return ParsedSql(
        text, sql, parameters, type(statement).__name__, command,
        read_only=_sqlkinds.read_only(statement), returns_rows=_sqlkinds.returns_rows(statement),
        outside_block=_sqlkinds.prevented(statement) is not None, accepts_parameters=accepts, uses=uses,
    )  # fmt: skip


def pieces(text: str) -> tuple[Piece, ...]:
    """The statements of a text without parameters, in their order; none where there are only comments.

    Raises:
        SqlError: the text does not parse.
    """
    tokens = _tokens(text)
    try:
        statements = parser.parse_sql(text)
    except parser.ParseError as error:
        raise _syntax_error(error, text, text, tokens, ()) from None
    found = []
    for raw in statements:
        start = cast(int, raw.stmt_location)
        end = start + raw.stmt_len if raw.stmt_len else len(text)
        words = [written(text, token).upper() for token in tokens if start <= token.start < end]
        found.append(_sqlkinds.piece(raw.stmt, text[start:end].strip(" \t\r\n;"), words[:8]))
    return tuple(found)


def _tokens(text: str) -> list[parser.Token]:
    """The tokens of a text, comments left out."""
    _check_characters(text, "SQL text")
    if len(text) > _MAX_CHARACTERS:
        message = f"SQL text of {len(text)} characters is too long"
        raise SqlError(message, 0, "unsupported", f"The limit is {_MAX_CHARACTERS}; put the code into a function.")
    try:
        tokens = parser.scan(text)
    except parser.ParseError as error:
        raise _syntax_error(error, text, text, [], ()) from None
    tokens = [token for token in tokens if token.name not in {"SQL_COMMENT", "C_COMMENT"}]
    if len(tokens) > _MAX_TOKENS:
        message = f"SQL text of {len(tokens)} words and symbols is too long"
        raise SqlError(message, 0, "unsupported", f"The limit is {_MAX_TOKENS}; put the code into a function.")
    return tokens


def _check_characters(text: str, what: str) -> None:
    """Refuse what no PostgreSQL string can hold: U+0000, and lone surrogates, which UTF-8 can't encode."""
    if found := re.search("[\0\ud800-\udfff]", text):
        character = f"U+{ord(found[0]):04X}"
        raise SqlError(f"{what} contains the character {character}", found.start(), "syntax", "Remove the character.")


def _substitute(text: str, tokens: Sequence[parser.Token]) -> tuple[str, tuple[Parameter, ...], tuple[Use, ...]]:
    """Put ``$n`` in place of each ``:name``."""
    parameters: dict[str, Parameter] = {}
    numbers: dict[str, int] = {}
    uses: list[Use] = []
    pieces: list[str] = []
    length = done = 0
    for colon, token in placeholders(text, tokens):
        name = _parameter_name(written(text, token), colon.start)
        parameters.setdefault(name, Parameter(name, colon.start))
        plain = text[done : colon.start]
        # "LIMIT:n" must not become the identifier "LIMIT$1".
        glue = " " if re.search(r"[\w$\x80-\U0010ffff]\Z", plain) else ""
        number = f"{glue}${numbers.setdefault(name, len(parameters))}"
        start = length + len(plain)
        uses.append(Use(start, start + len(number), colon.start, token.end + 1))
        pieces += plain, number
        length, done = start + len(number), token.end + 1
    return "".join([*pieces, text[done:]]), tuple(parameters.values()), tuple(uses)


def _parameter_name(word: str, offset: int) -> str:
    # Python normalises its identifiers, and these names are compared with fields and keywords of Python.
    name = unicodedata.normalize("NFKC", word)
    if not name.isidentifier():
        hint = "Use letters, digits and underscores, as in the name of a column or an argument."
        raise SqlError(f'parameter name "{_shorten(word)}" is not an identifier', offset, "parameter", hint)
    return name


def _statement(text: str, sql: str, tokens: Sequence[parser.Token], uses: tuple[Use, ...]) -> ast.Node:
    try:
        statements = parser.parse_sql(sql)
    except parser.ParseError as error:
        raise _syntax_error(error, text, sql, tokens, uses) from None
    if len(statements) > 1:
        second = original(uses, cast(int, statements[1].stmt_location))
        offset = next(token.start for token in tokens if token.start >= second and token.name != "ASCII_59")
        hint = "Put the statements into a function or procedure, or declare a worker for each."
        raise SqlError("SQL text has more than one statement", offset, "many", hint)
    return cast(ast.Node, statements[0].stmt)


def _syntax_error(
    error: parser.ParseError, text: str, sql: str, tokens: Sequence[parser.Token], uses: tuple[Use, ...]
) -> SqlError:
    """The parser's message about ``sql``, told about ``text``."""
    message, position = cast("tuple[str, int | None]", (*error.args, None)[:2])
    if position is None and not message.endswith("end of input"):
        position = _bad_string(message, sql)
    if position is None:
        offset = tokens[-1].end + 1 if tokens else len(text.rstrip())
        position = len(sql)
    else:
        offset = original(uses, position)
        for use in uses:
            if use.start <= position < use.end:
                number, name = sql[use.start : use.end].strip(), text[use.text_start : use.text_end]
                message = message.replace(f'"{number}"', f'"{name}"')
    hint = _hint(text, offset, tokens) or _did_you_mean(sql, position)
    return SqlError(_shorten(message), offset, "syntax", hint)


def _bad_string(message: str, sql: str) -> int | None:
    """The place of a string constant that the lexer complains about without saying where (a bad byte in E'').

    It complains at the closing quote; cut off right before it, the constant is one without an end.
    """
    end = bisect_left(range(len(sql) + 1), True, key=lambda end: _scan_error(sql[:end])[0] == message)
    return _scan_error(sql[: end - 1])[1] if 0 < end <= len(sql) else None


def _scan_error(sql: str) -> tuple[str | None, int | None]:
    try:
        parser.scan(sql)
    except parser.ParseError as error:
        return cast("tuple[str, int | None]", (*error.args, None)[:2])
    return None, None


def _shorten(message: str) -> str:
    """One line: messages about an unterminated string quote all the rest of the text."""
    line, *more = message.splitlines() or [""]
    return line if not more and len(line) <= 120 else line[:117] + "..." + ('"' if message.endswith('"') else "")


def _hint(text: str, offset: int, tokens: Sequence[parser.Token]) -> str | None:
    """Advice on the customs of other tools, found at the place of an error."""
    rest = text[offset:]
    if rest.startswith("\\"):
        return "Commands with a backslash are psql's; write SQL."
    previous = next((token for token in reversed(tokens) if token.end < offset), None)
    if re.match(r"%[(bst]|\{|\?", rest) or (previous and written(text, previous).endswith("?")):
        return _PLACEHOLDER_HINT
    if re.match(r":[^\W\d]", rest):
        return _VALUE_HINT
    if re.match(":=", rest):
        return 'Write "=": only PL/pgSQL and arguments by name have ":=".'
    if rest.startswith(":") or text[max(offset - 1, 0) : offset] == ":":
        return _PLACEHOLDER_HINT
    return None


def _did_you_mean(sql: str, position: int) -> str | None:
    """A keyword that, put in the place of the offending word or the one before it, leads the parser further.

    A keyword before the error is no slip, nor is a reserved word anywhere. Where none leads to the end, a keyword that
    was left out is tried as well.
    """
    try:
        words = [token for token in parser.scan(sql) if re.fullmatch(r"[A-Za-z_]{3,}", written(sql, token))]
    except parser.ParseError:
        return None
    suspects = [token for token in words if token.start <= position][-2:]
    best: tuple[float, str] | None = None
    for token in reversed(suspects):
        word = written(sql, token)
        if keyword_kind(word) == "reserved" or (token.start < position and keyword_kind(word)):
            continue
        for candidate in difflib.get_close_matches(word.lower(), sorted(_KEYWORDS.keys() - {word.lower()}), n=5):
            reached = _reaches(f"{sql[: token.start]}{candidate}{sql[token.end + 1 :]}") - len(candidate) + len(word)
            if reached > (best[0] if best else position):
                instead = "" if token.start == position else f" instead of {word}"
                best = reached, f"Did you mean {candidate.upper()}{instead}?"
    if best is None or best[0] < float("inf"):
        return _left_out(sql, position, words) or (best[1] if best else None)
    return best[1]


def _left_out(sql: str, position: int, words: Sequence[parser.Token]) -> str | None:
    """The keyword that belongs to the verb, if all parses with it at the error or, after an UPDATE, a word earlier."""
    before = [written(sql, token).upper() for token in words if token.start < position]
    keyword = next((_OFTEN_MISSING[word] for word in reversed(before) if word in _OFTEN_MISSING), None)
    if keyword is None:
        return None
    # The column of UPDATE t a = 1 is taken for an alias, and what comes after it for the fault.
    earlier = re.search(r"[\w.]+\s*\Z", sql[:position]) if keyword == "SET" else None
    for place in (position, earlier.start() if earlier else position):
        if _reaches(f"{sql[:place]} {keyword} {sql[place:]}") == float("inf"):
            following = re.match(r'[\w."]+', sql[place:])
            return f'Write {keyword} before "{following[0]}".' if following else f"Write {keyword} there."
    return None


def _reaches(sql: str) -> float:
    try:
        parser.parse_sql(sql)
    except parser.ParseError as error:
        return cast(float, error.args[1]) if error.args[1] is not None else len(sql)
    return float("inf")


def near(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that ``word`` is most likely a slip of, or None; upper and lower case count as the same."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[found[0]] if found else None


_KEYWORDS: dict[str, KeywordKind] = {
    **dict.fromkeys(keywords.UNRESERVED_KEYWORDS, "unreserved"),
    **dict.fromkeys(keywords.COL_NAME_KEYWORDS, "col_name"),
    **dict.fromkeys(keywords.TYPE_FUNC_NAME_KEYWORDS, "type_func_name"),
    **dict.fromkeys(keywords.RESERVED_KEYWORDS, "reserved"),
}


def keyword_kind(word: str) -> KeywordKind | None:
    """The category of a keyword in kwlist.h, in any case of its ASCII letters; None for other words."""
    return _KEYWORDS.get(word.lower()) if word.isascii() else None


def quote_ident(name: str) -> str:
    """A name as SQL, in double quotes where ``quote_identifier()`` of utils/adt/ruleutils.c puts them.

    Raises:
        SqlError: for an empty name, and for characters that no PostgreSQL string holds.
    """
    _check_characters(name, "name")
    if not name:
        raise SqlError("name is empty", 0, "empty", "Give a name of at least one character.")
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and keyword_kind(name) in {None, "unreserved"}:
        return name
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """A string constant, as ``quote_literal_cstr()`` of utils/adt/quote.c writes it: E'' where there is a backslash.

    Raises:
        SqlError: for characters that no PostgreSQL string holds.
    """
    _check_characters(text, "string")
    quoted = "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    return f"E{quoted}" if "\\" in text else quoted


def _fragment(text: str, what: str, before: str, after: str) -> ast.Node:
    """The expression ``before text after`` parsed, where the text itself is closed in its brackets and has no end."""
    _check_characters(text, what)
    tokens = _tokens(text)
    if not tokens:
        raise SqlError(f"{what} is empty", 0, "empty", f"Write the {what}.")
    depth = 0
    for token in tokens:
        depth += {"ASCII_40": 1, "ASCII_41": -1}.get(token.name, 0)
        if depth < 0 or token.name == "ASCII_59":
            raise SqlError(f'syntax error at or near "{written(text, token)}"', token.start)
    head = f"SELECT {before}"
    try:
        statements = parser.parse_sql(f"{head}{text}\n{after}")
    except parser.ParseError as error:
        position = error.args[1] if error.args[1] is not None else len(head + text)
        last, offset = tokens[-1], max(position - len(head), 0)
        if offset <= last.end:
            raise SqlError(_shorten(error.args[0]), offset) from None
        if last.kind == "NO_KEYWORD":
            raise SqlError(f"{what} is not complete", last.end + 1) from None
        raise SqlError(f'syntax error at or near "{written(text, last)}"', last.start) from None
    targets = cast(ast.SelectStmt, statements[0].stmt).targetList or ()
    if len(targets) != 1 or targets[0].name is not None or targets[0].indirection is not None:
        raise SqlError(f'"{_shorten(text)}" is not a {what}')
    return cast(ast.Node, targets[0].val)


def parse_type(text: str) -> SqlType:
    """The type of that name; an unknown name is taken for a type of the user's, with no OID.

    Raises:
        SqlError: for text that names no type, pseudo-types, and modifiers that a built-in type doesn't take.
    """
    cast_node = _fragment(text, "type", "CAST(NULL AS ", ")")
    name = getattr(cast_node, "typeName", None)
    if not isinstance(name, ast.TypeName) or not isinstance(getattr(cast_node, "arg", None), ast.A_Const):
        raise SqlError(f'"{_shorten(text)}" is not a type')
    *schema, internal = [cast(ast.String, part).sval or "" for part in name.names or ()]
    if len(schema) > 1:
        raise SqlError("type name has too many parts", 0, "unsupported", "Write it as schema.type.")
    array = bool(name.arrayBounds)
    own = schema in ([], ["pg_catalog"])
    if own and internal[:1] == "_" and internal[1:] in _sqltypes.BUILTIN:
        array, internal = True, internal[1:]
    if own and internal in _sqltypes.BUILTIN:
        return _builtin_type(internal, name.typmods or (), array)
    if own and (internal in _sqltypes.PSEUDO or (not schema and internal in _sqltypes.SERIAL)):
        integer = _sqltypes.SERIAL.get(internal)
        hint = f"Use {integer}." if integer else "Use the type that the values really have."
        raise SqlError(f"{internal} is not a type of values", 0, "unsupported", hint)
    modifiers = ",".join(_modifier(node) for node in name.typmods or ())
    sql = ".".join(quote_ident(part) for part in [*schema, internal]) + (f"({modifiers})" if modifiers else "")
    return SqlType(sql + "[]" * array, internal, None, array)


def _builtin_type(name: str, typmods: Sequence[ast.Node], array: bool) -> SqlType:
    modifiers = [int(_modifier(node)) for node in typmods if re.fullmatch(r"-?[0-9]+", _modifier(node))]
    builtin = _sqltypes.BUILTIN[name]
    sql = _sqltypes.spell(name, modifiers)
    if sql is None or len(modifiers) != len(typmods):
        raise SqlError(f"type {builtin.sql} does not take these modifiers", 0, "syntax", f"Write {builtin.sql}.")
    return SqlType(sql + "[]" * array, name, (builtin.array_oid or None) if array else builtin.oid, array)


def _modifier(node: ast.Node) -> str:
    """A modifier of a type as SQL: a constant, or a plain word as in geometry(Point, 4326)."""
    if isinstance(node, ast.ColumnRef) and node.fields and isinstance(node.fields[0], ast.String):
        return ".".join(quote_ident(getattr(part, "sval", None) or "*") for part in node.fields)
    value = node.val if isinstance(node, ast.A_Const) else None
    if isinstance(value, ast.Integer):
        return str(value.ival)
    if isinstance(value, ast.String):
        return quote_literal(value.sval or "")
    raise SqlError("type modifiers must be constants or names", 0, "unsupported", "Write them as in numeric(10,2).")


def parse_function_name(text: str) -> tuple[str, ...]:
    """The parts of a function's name, folded and unquoted as SQL does it: one, or two with a schema.

    Raises:
        SqlError: for anything else, arguments included.
    """
    _check_characters(text, "function name")
    for index, token in enumerate(_tokens(text)):
        is_name = token.name in {"IDENT", "UIDENT"} or token.kind != "NO_KEYWORD"
        if token.name != "ASCII_46" if index % 2 else not is_name:
            message = f'syntax error at or near "{written(text, token)}"'
            raise SqlError(message, token.start, "syntax", "Write the name alone, as in public.process_item.")
    call = _fragment(text, "function name", "", "()")
    if not isinstance(call, ast.FuncCall):
        raise SqlError(f'"{_shorten(text)}" is not a function name')
    parts = tuple(cast(ast.String, part).sval or "" for part in call.funcname or ())
    if len(parts) > 2:
        raise SqlError("function name has too many parts", 0, "unsupported", "Write it as schema.function.")
    return parts
