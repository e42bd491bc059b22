"""The middle form: frozen data with every name and statement decided, and nothing of C's or SQL's syntax in C."""
