"""What a mutant is, and the templates with its fault in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from unittest.mock import patch

from pgbgw.codegen import environment

__all__ = ["Mutant", "mutated"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault put into one template.

    ``rules`` are the numbers of the worker checklist that it breaks, ``caught_by`` patterns of the checks that are
    tried first. ``old`` must stand in the template as often as ``times`` says, and is replaced by ``new`` everywhere.
    ``tests`` names tests of ours that must notice it, where no check of the suite could; then the suite does not run.
    ``declaration`` names the one that is put through the suite: "my_worker", "kinds" which has a worker of each kind
    and option, "rota" whose workers run by the calendar, or "crontab" with a table of schedules. ``major`` is that of
    the server.
    """

    name: str
    rules: tuple[int, ...]
    fault: str
    template: str
    old: str
    new: str
    caught_by: tuple[str, ...]
    declaration: str = "my_worker"
    major: int = 18
    times: int = 1
    tests: str = ""

    def source(self) -> str:
        """The text of the template with the fault in it.

        Raises:
            LookupError: the text that is to be replaced does not stand there (any more).
        """
        text = files("pgbgw.c_templates").joinpath(self.template).read_text(encoding="utf-8")
        if text.count(self.old) != self.times:
            raise LookupError(f"{self.name}: {self.template} has {self.old!r} {text.count(self.old)} times")
        return text.replace(self.old, self.new)


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    """What is emitted inside the block has the fault in it."""
    broken = mutant.source()
    read = environment.read_template

    def reading(name: str) -> str | None:
        return broken if name == mutant.template else read(name)

    environment.forget()
    try:
        with patch.object(environment, "read_template", reading):
            yield
    finally:
        environment.forget()
