"""Proof that nothing is lost or doubled: faults of all kinds, and the same invariants checked after
each of them.
"""
