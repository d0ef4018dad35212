"""Validates every cell of a file, and writes its load-ready parts."""
