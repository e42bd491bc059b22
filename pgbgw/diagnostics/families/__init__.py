"""The rows of the table of codes, a module a family."""
