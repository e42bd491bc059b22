"""What can go wrong between an emitted tree and a running server: errors in four parts, as diagnostics are."""

from __future__ import annotations

from dataclasses import dataclass

from pgbgw.origin import Origin

__all__ = [
    "BuildError",
    "CompileError",
    "CompilerMessage",
    "ServerNotFound",
    "StageError",
    "ToolMissing",
    "TreeRefused",
]


class StageError(Exception):
    """A stage after the declaration failed; the command line decides how it is shown and what it exits with.

    ``message`` starts in lower case and has no full stop; ``detail`` says why and ``hint`` what to do, in sentences
    ("Error Message Style Guide" in PostgreSQL's documentation).
    """

    def __init__(self, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        parts = [self.message]
        if self.detail:
            parts.append(f"detail: {self.detail}")
        if self.hint:
            parts.append(f"hint: {self.hint}")
        return "\n".join(parts)


class BuildError(StageError):
    """The tree could not be built."""


class ServerNotFound(BuildError):
    """No PostgreSQL server that can be built against."""


class ToolMissing(BuildError):
    """A compiler, make, the server's headers or its makefiles are not installed; the hint names what to install."""


class TreeRefused(BuildError):
    """The folder to write to holds something that is not ours to replace, or can't be written."""


@dataclass(frozen=True, slots=True)
class CompilerMessage:
    """One error of the compiler. ``path`` is as the compiler wrote it, lines and columns count from 1.

    ``origin`` is the declared value that the line was emitted for; None where the line belongs to no single value.
    ``excerpt`` holds the lines that the compiler printed below the message, without a trailing newline.
    """

    path: str
    line: int
    column: int | None
    text: str
    origin: Origin | None = None
    excerpt: str = ""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.column is None else f"{self.path}:{self.line}:{self.column}"
        return f"{place}: error: {self.text}"


class CompileError(BuildError):
    """make failed. ``messages`` are the compiler's, possibly none; ``log`` is all that make printed."""

    def __init__(
        self, message: str, *, messages: tuple[CompilerMessage, ...], log: str, detail: str, hint: str | None = None
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.messages = messages
        self.log = log
