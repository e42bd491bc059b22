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

__all__ = ["render"]

_STATEMENT = re.compile(r"^[ \t]*//% *(.*?)[ \t]*$", re.MULTILINE)


def _source(name: str) -> str | None:
    resource = files("pgbgw.c_templates").joinpath(name)
    if not resource.is_file():
        return None
    # Jinja's own line statements swallow the empty lines that follow them
    return _STATEMENT.sub(r"@{% \1 %}@", resource.read_text(encoding="utf-8"))


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
