"""Reads a file's every cell, judges it, and writes its load-ready parts."""
