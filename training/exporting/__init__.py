"""A published version → a file for other programs, one module a format."""
