"""Words of a command line, as a shell takes it apart; only what needs no shell to run is understood."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from pgbgw.crontab.entries import Refusal

__all__ = ["Unclosed", "Word", "words"]

# An operator of redirection may have the number of a file before it.
_OPERATOR = re.compile(r"(?:\d*(?:>>|>\||>&|<&|<<<|<<|<>|>|<)|&>>|&>|&&|\|\||;;|\|&|[;&|()])")

_ASSIGNS = re.compile(r"[A-Za-z_]\w*=")

_SCRIPT = "Put the statements into a function or a procedure, and schedule a call of it."


class Unclosed(Refusal):
    """A quote has no end."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word without its quotes, or an operator such as ``|``."""

    text: str
    operator: bool = False


def words(command: str, variables: Mapping[str, str]) -> list[Word]:
    """The words of a command; ``variables`` are those of which the values are known.

    Raises:
        Refusal: it has what only a shell finds out.
    """
    found: list[Word] = []
    word: str | None = None
    at = 0
    while at < len(command):
        character = command[at]
        operator = _OPERATOR.match(command, at)
        if character in " \t\n" or operator or (character == "#" and word is None):
            # digits belong to an operator only where a word would begin
            if operator and word is not None and operator[0][0].isdigit():
                word, at = word + character, at + 1
                continue
            if word is not None:
                found.append(Word(word))
                word = None
            if character == "#":
                at = end if (end := command.find("\n", at)) >= 0 else len(command)
            elif operator:
                found.append(Word(operator[0], operator=True))
                at = operator.end()
            else:
                at += 1
            continue
        if character == "$" and not _is_whole(found, word):
            value, at = _plain(command, at, variables)
            word = _split(value, word, found)
            continue
        text, at = _part(command, at, variables)
        word = (word or "") + text
    if word is not None:
        found.append(Word(word))
    return found


def _is_whole(found: Sequence[Word], word: str | None) -> bool:
    """Whether a value is no more than one word here: in an assignment before a command, and as the file of output."""
    if found and found[-1].operator and set(found[-1].text) & set("<>"):
        return True
    before = (each.text for each in takewhile(lambda each: not each.operator, reversed(found)))
    return word is not None and all(_ASSIGNS.match(each) for each in (word, *before))


def _split(value: str, word: str | None, found: list[Word]) -> str | None:
    """Split a value that is not quoted, and begin where ``word`` was left; what is left of it then."""
    first, *others = re.split(r"[ \t\n]+", value)
    word = (word or "") + first if first else word
    for other in others:
        if word is not None:
            found.append(Word(word))
        word = other or None
    return word


def _part(command: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """A quoted part, or one character; and where it ends."""
    character = command[at]
    if character == "'":
        end = command.find("'", at + 1)
        if end < 0:
            raise Unclosed("a quote is not closed", hint="Close it.")
        return command[at + 1 : end], end + 1
    if character == '"':
        text, at = "", at + 1
        while at < len(command) and command[at] != '"':
            if command[at] == "\\" and command[at + 1 : at + 2] in {'"', "\\", "$", "`"}:
                text, at = text + command[at + 1], at + 2
                continue
            part, at = _plain(command, at, variables)
            text += part
        if at >= len(command):
            raise Unclosed("a quote is not closed", hint="Close it.")
        return text, at + 1
    if character == "\\" and at + 1 < len(command):
        return command[at + 1], at + 2
    return _plain(command, at, variables)


def _plain(command: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """One character, or the value of a variable."""
    if command[at] == "`" or command.startswith("$(", at):
        raise Refusal("the shell runs a command within it", hint=_SCRIPT)
    if command[at] == "$" and (name := re.compile(r"\$(?:(\w+)|\{(\w+)\}|([$@*#?!{-]))").match(command, at)):
        if name[3] == "$":
            raise Refusal(
                "the shell puts its process number in the place of $$",
                hint="Quote the SQL by apostrophes, or its strings otherwise than by $$.",
            )
        known = variables.get(name[1] or name[2] or "")
        if known is None:
            raise Refusal(f"only the shell knows what {name[0]} is", hint=f"Write its value in the place of {name[0]}.")
        return known, name.end()
    return command[at], at + 1
