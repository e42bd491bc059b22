"""The value of ``shared_preload_libraries``: read and written exactly as the server does.

The list is split by ``SplitDirectoriesString()`` (src/backend/utils/adt/varlena.c), which ``load_libraries()``
(src/backend/utils/init/miscinit.c) calls: commas separate, double quotes protect, nothing is folded to lower case.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgbgw.server.errors import ServerError

__all__ = ["alter_system", "parse", "render", "with_library"]

# scanner_isspace() of src/backend/parser/scansup.c.
_SPACE = " \t\n\r\f\v"


def parse(value: str) -> list[str]:
    """The names in a value as ``SHOW shared_preload_libraries`` gives it, in their order.

    Raises:
        ServerError: the server itself would not accept the list, and would load nothing of it.
    """
    names: list[str] = []
    at = _skip(value, 0)
    if at == len(value):
        return names
    while True:
        name, at = _quoted(value, at) if value[at : at + 1] == '"' else _plain(value, at)
        names.append(name)
        at = _skip(value, at)
        if at == len(value):
            return names
        if value[at] != ",":
            raise _invalid(value)
        at = _skip(value, at + 1)


def render(names: Sequence[str]) -> str:
    """The value that ``parse`` reads back as these names; quoted only where it must be."""
    return ", ".join(_render_one(name) for name in names)


def with_library(current: str, library: str) -> list[str]:
    """The names to preload so that ``library`` is among them: what stands is kept, in order, and ours comes last.

    An entry that means the same file (``$libdir/name``, ``name.so``) counts as there.

    Raises:
        ServerError: as for ``parse``.
    """
    names = parse(current)
    return names if any(_stem(name) == library for name in names) else [*names, library]


def alter_system(names: Sequence[str]) -> str:
    """The statement that sets the list: one string constant for each name, as ALTER SYSTEM takes lists."""
    return f"ALTER SYSTEM SET shared_preload_libraries = {', '.join(_constant(name) for name in names)};"


def _quoted(value: str, at: int) -> tuple[str, int]:
    name, at = "", at + 1
    while True:
        end = value.find('"', at)
        if end < 0:
            raise _invalid(value)
        name += value[at:end]
        if value[end + 1 : end + 2] != '"':
            return name, end + 1
        name, at = name + '"', end + 2


def _plain(value: str, at: int) -> tuple[str, int]:
    end = value.find(",", at)
    end = len(value) if end < 0 else end
    name = value[at:end].rstrip(_SPACE)
    if not name:
        raise _invalid(value)
    return name, end


def _skip(value: str, at: int) -> int:
    while at < len(value) and value[at] in _SPACE:
        at += 1
    return at


def _render_one(name: str) -> str:
    plain = name and name == name.strip(_SPACE) and "," not in name and not name.startswith('"')
    return name if plain else '"' + name.replace('"', '""') + '"'


def _stem(name: str) -> str:
    return name.removeprefix("$libdir/").removesuffix(".so").removesuffix(".dylib")


def _constant(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _invalid(value: str) -> ServerError:
    return ServerError(
        "invalid list syntax in shared_preload_libraries",
        detail=f"The value is {value!r}; the server loads nothing of such a list.",
        hint='Separate names by commas, and close every double quote (") that is opened.',
    )
