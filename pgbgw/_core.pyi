from collections.abc import Sequence
from typing import Any, final

__all__ = ["CopyDecoder", "CopyError", "backoff", "decode_copy"]

class CopyError(ValueError):
    row: int | None
    column: int | None
    hint: str | None
    def __init__(
        self, message: str, row: int | None = None, column: int | None = None, hint: str | None = None
    ) -> None: ...

@final
class CopyDecoder:
    def __init__(self, types: Sequence[str]) -> None: ...
    @property
    def finished(self) -> bool: ...
    # Any, because what a column holds is known from the names in types only.
    def feed(self, data: bytes | bytearray | memoryview) -> list[tuple[Any, ...]]: ...
    def close(self) -> None: ...

def decode_copy(data: bytes | bytearray | memoryview, types: Sequence[str]) -> list[tuple[Any, ...]]: ...
def backoff(attempt: int, base_us: int, cap_us: int, random: int) -> int: ...
