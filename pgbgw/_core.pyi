from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias, final

__all__ = ["CopyDecoder", "CopyError", "Layout", "backoff", "decode_copy"]

_Buffer: TypeAlias = bytes | bytearray | memoryview
_Json: TypeAlias = Literal["str", "bytes"]
# Names of types or OIDs. Values are Any below, because what a column holds is known from these only.
_Types: TypeAlias = Sequence[str | int]

class CopyError(ValueError):
    row: int | None
    column: int | None
    hint: str | None
    def __init__(
        self, message: str, row: int | None = None, column: int | None = None, hint: str | None = None
    ) -> None: ...

@final
class Layout:
    def __init__(
        self,
        names: Iterable[str] | None,
        types: _Types,
        *,
        json: _Json = "str",
        queue: str | None = None,
        payload: Iterable[str] | None = None,
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def names(self) -> tuple[str, ...] | None: ...
    @property
    def types(self) -> tuple[int, ...]: ...
    @property
    def payload(self) -> tuple[str, ...]: ...
    @property
    def queue(self) -> str | None: ...
    @property
    def json(self) -> _Json: ...

@final
class CopyDecoder:
    def __init__(self, types: _Types | Layout, *, json: _Json = "str") -> None: ...
    @property
    def finished(self) -> bool: ...
    def feed(self, data: _Buffer) -> list[tuple[Any, ...]]: ...
    def close(self) -> None: ...

def decode_copy(data: _Buffer, types: _Types | Layout, *, json: _Json = "str") -> list[tuple[Any, ...]]: ...
def backoff(attempt: int, base_us: int, cap_us: int, random: int) -> int: ...
