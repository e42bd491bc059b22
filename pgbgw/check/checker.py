"""All rules, in order, over one extension."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pgbgw.check import limits, names, queues, settings, shared, sql, workers
from pgbgw.check.target import Rule, Target
from pgbgw.declare.extension import Extension
from pgbgw.declare.load import load
from pgbgw.diagnostics import DeclarationError, Diagnostic, Severity, collecting, report_all

__all__ = ["RULES", "Checked", "check", "check_file"]

RULES: tuple[Rule, ...] = (
    *names.RULES,
    *settings.RULES,
    *sql.RULES,
    *workers.RULES,
    *queues.RULES,
    *shared.RULES,
    *limits.RULES,
)

_SEAL = object()
_NOT_RUN_TO_ITS_END = {"BGW002", "BGW003"}
_OPTION_LOST = {"BGW403", "BGW404", "BGW406", "BGW408", "BGW409", "BGW410", "BGW411", "BGW413", "BGW414"}
_UNUSED = {"BGW312", "BGW506"}


@dataclass(frozen=True, slots=True)
class Checked:
    """An extension that no rule found an error in; only ``check`` makes one."""

    extension: Extension
    target: Target
    _seal: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self._seal is not _SEAL:
            raise TypeError("Checked is made by check() only")


def check(extension: Extension, target: Target | None = None) -> Checked:
    """Run every rule and report what they find, warnings too.

    Raises:
        DeclarationError: with all errors at once; raised while somebody collects too, since there is no Checked then.
    """
    target = target if target is not None else Target()
    found = list(dict.fromkeys(diagnostic for rule in RULES for diagnostic in rule(extension, target)))
    report_all(found)
    errors = _errors(found)
    if errors:
        raise DeclarationError(errors)
    return Checked(extension, target, _SEAL)


def check_file(path: Path, target: Target | None = None) -> tuple[Checked | None, list[Diagnostic]]:
    """Load a declaration and check it: every diagnostic once, in order of place, and a Checked if none is an error.

    A file that did not run to its end is not checked further: what it lacks may stand below the fault. Nothing is
    called unused where an option had a value that could not be taken: that value may be what seems unused.
    """
    checked: Checked | None = None
    with collecting() as found:
        try:
            extension = load(path)
            if extension is not None and not any(each.code in _NOT_RUN_TO_ITS_END for each in found):
                checked = check(extension, target)
        except DeclarationError as error:
            found += error.diagnostics
    codes = {each.code for each in found}
    if codes & _OPTION_LOST:
        found = [each for each in found if each.code not in _UNUSED]
    found = _in_order(found, str(path.absolute()))
    return (None if _errors(found) else checked), found


def _errors(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    return [each for each in diagnostics if each.severity is Severity.ERROR]


def _in_order(diagnostics: list[Diagnostic], path: str) -> list[Diagnostic]:
    def key(diagnostic: Diagnostic) -> tuple[bool, str, int, int]:
        origin = diagnostic.origin
        return (origin.path != path, origin.path, origin.line, origin.column) if origin else (False, "", 0, 0)

    return sorted(dict.fromkeys(diagnostics), key=key)
