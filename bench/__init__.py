"""The benchmarks of pgbgw: ``make bench`` runs them, docs/benchmarks.md tells how to read what they print.

A benchmark is a module that is named in ``registry.MODULES``. It measures its subjects one after the other, several
times around, on one server, and returns tables, charts and ratios; nothing here is part of the installed package.
"""
