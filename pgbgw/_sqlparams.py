"""Which colons of a statement begin a parameter, and where they went; private to ``sqltext``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pgbgw._sqlkinds import OPERATOR_WORDS, VALUE_WORDS

__all__ = ["Use", "original", "placeholders", "written"]


class Token(Protocol):
    """A token of pglast's ``scan()``: indexes of its first and its last character, its name in gram.y, its category."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Use:
    """Where ``sql`` has a ``$n``, and which span of ``text`` it stands for."""

    start: int
    end: int
    text_start: int
    text_end: int


def original(uses: Sequence[Use], offset: int) -> int:
    """The index in the text as written of a character of the text with ``$n``."""
    index = bisect_right(uses, offset, key=lambda use: use.start) - 1
    if index < 0:
        return offset
    use = uses[index]
    return use.text_start if offset < use.end else use.text_end + offset - use.end


def written(text: str, token: Token) -> str:
    """The token as it stands in the text."""
    return text[token.start : token.end + 1]


def placeholders(text: str, tokens: Sequence[Token]) -> Iterator[tuple[Token, Token]]:
    """The colon and the name of each parameter, by the rule in the documentation of ``sqltext``."""
    separates: list[bool] = []  # for each open bracket: is a colon after a value SQL's own in there?
    value = consumed = False
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        if consumed:
            value, consumed = True, False
            continue
        if after and _is_parameter(text, token, after) and not (value and separates and separates[-1]):
            yield token, after
            consumed = True
            continue
        if token.name in {"ASCII_40", "ASCII_91"}:
            keyed = before is not None and before.name in {"JSON_OBJECT", "JSON_OBJECTAGG"}
            separates.append(token.name == "ASCII_91" or keyed)
        elif token.name in {"ASCII_41", "ASCII_93"} and separates:
            separates.pop()
        value = _ends_value(text, token)


def _is_parameter(text: str, colon: Token, name: Token) -> bool:
    if colon.name != "ASCII_58" or name.start != colon.start + 1:
        return False
    unquoted = name.kind != "NO_KEYWORD" or (name.name == "IDENT" and text[name.start] != '"')
    return unquoted and text[colon.start - 1 : colon.start] != ":"


def _ends_value(text: str, token: Token) -> bool:
    word = written(text, token).lower()
    if token.kind == "RESERVED_KEYWORD":
        return word in VALUE_WORDS
    if token.kind != "NO_KEYWORD":
        return word not in OPERATOR_WORDS
    return token.name.endswith("CONST") or token.name in {"IDENT", "UIDENT", "ASCII_41", "ASCII_93"}
