"""Fuzzers of the compiled core, guided by its coverage, on a build with sanitisers."""
