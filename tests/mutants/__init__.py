"""Proof that the fault suite can fail: templates that are broken on purpose, and the checks that notice."""
