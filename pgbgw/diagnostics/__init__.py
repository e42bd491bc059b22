"""Diagnostics: one type, one table of codes, one way to print them."""

from pgbgw.diagnostics.code import Severity
from pgbgw.diagnostics.codes import explain
from pgbgw.diagnostics.diagnostic import DeclarationError, Diagnostic, collecting, report, report_all
from pgbgw.diagnostics.render import render, to_json

__all__ = [
    "DeclarationError",
    "Diagnostic",
    "Severity",
    "collecting",
    "explain",
    "render",
    "report",
    "report_all",
    "to_json",
]
