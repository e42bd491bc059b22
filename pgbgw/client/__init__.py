"""What a Python program does with a queue: today, reading rows fast."""

from pgbgw.client.copy import copy_rows

__all__ = ["copy_rows"]
