"""Fault injection: faults of all kinds, and the same invariants checked after each run."""
