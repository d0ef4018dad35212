"""The upload service: receives files into the object store, and owns the objects below uploads/."""
