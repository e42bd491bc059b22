"""Jinja for C: the only importer of jinja2.

Statements stand on lines that begin with ``//%`` (PostgreSQL's C has no ``//`` comments), values in ``@{...}``. What
is undefined is an error, and so is every value that is not escaped text of the language at hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import jinja2

from pgbgw.codegen.ctext import Text

__all__ = ["forget", "read_template", "render"]

_STATEMENT = re.compile(r"^[ \t]*//% *(.*?)[ \t]*$", re.MULTILINE)


def read_template(name: str) -> str | None:
    """The text of a template as it stands in ``c_templates``, or None; tests that break templates replace this."""
    resource = files("pgbgw.c_templates").joinpath(name)
    return resource.read_text(encoding="utf-8") if resource.is_file() else None


def forget() -> None:
    """Read every template anew at its next use."""
    _ENVIRONMENTS.clear()


def _source(name: str) -> str | None:
    text = read_template(name)
    # Jinja's own line statements swallow the empty lines that follow them
    return None if text is None else _STATEMENT.sub(r"@{% \1 %}@", text)


def _environment(language: type[Text]) -> jinja2.Environment:
    def finalize(value: object) -> str:
        if not isinstance(value, language):
            raise TypeError(f"{value!r} enters a template without being {language.__name__}")
        return value.text

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        block_start_string="@{%",
        block_end_string="%}@",
        variable_start_string="@{",
        variable_end_string="}",
        comment_start_string="@{#",
        comment_end_string="#}@",
        undefined=jinja2.StrictUndefined,
        finalize=finalize,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,
    )


_ENVIRONMENTS: dict[type[Text], jinja2.Environment] = {}


def render(template: str, language: type[Text], values: dict[str, Any], helpers: dict[str, Callable[..., Any]]) -> str:
    """Render one template of ``c_templates``; ``helpers`` make escaped text out of the values."""
    if language not in _ENVIRONMENTS:
        _ENVIRONMENTS[language] = _environment(language)
    return _ENVIRONMENTS[language].get_template(template).render(**values, **helpers)
