"""Moves a file's bytes from a client into the object store, and owns the objects below uploads/."""
