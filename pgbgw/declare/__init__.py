"""The declaration surface: ordered values on an explicit extension."""
