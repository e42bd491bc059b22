"""What becomes a part of a file name, and so of make and the shell: of a declaration, nothing with a meaning there."""

from __future__ import annotations

import re

import pytest

from pgbgw import DeclarationError, Extension, seconds
from tests.golden.emitted import CASES, tree

HOSTILE = (
    "", " ", ".", "..", "../up", "/etc/passwd", "a b", "a'b", 'a"b', "a`id`", "a$(id)", "a$b", "a;b", "a|b", "a&b",
    "a>b", "a*b", "a?b", "a\\b", "a\nb", "a\tb", "a\0b", "a#b", "a:b", "a=b", "a%b", "a!b", "~a", "-a",
    "a\u202eb", "\ud800",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_names_of_extensions(text: str) -> None:
    with pytest.raises(DeclarationError):
        Extension(text)


@pytest.mark.parametrize("text", [*HOSTILE, "1--2", "1.0-"])
def test_versions(text: str) -> None:
    with pytest.raises(DeclarationError):
        Extension("shop", version=text)


@pytest.mark.parametrize("text", HOSTILE)
def test_names_of_workers(text: str) -> None:
    """A worker has a file of its own."""
    shop = Extension("shop")
    with pytest.raises(DeclarationError):
        shop.c_worker(text, source="work.c", function="work", every=seconds(1))


@pytest.mark.parametrize("text", [text for text in HOSTILE if "/" not in text])
def test_names_of_sources(text: str) -> None:
    """Of a path only the last part, which is refused for what it is: such a file may well be there."""
    shop = Extension("shop")
    with pytest.raises(DeclarationError, match="is not the name of a C file"):
        shop.c_worker("work", source=f"{text}.c", function="work", every=seconds(1))


@pytest.mark.parametrize("case", CASES)
def test_paths_of_emitted_files(case: str) -> None:
    """Every path is one that needs no quotes, and stays in its folder."""
    for path in tree(case).files:
        assert re.fullmatch(r"(?:[a-z]+/)*[A-Za-z0-9_.-]+", path), path
        assert ".." not in path.split("/")
