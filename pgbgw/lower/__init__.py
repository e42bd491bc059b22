"""Lowering: Checked -> ModuleIR."""

from pgbgw.lower.lower import lower

__all__ = ["lower"]
