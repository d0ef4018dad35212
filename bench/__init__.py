"""Side-by-side measurements: us and what a user would pick instead, interleaved in one run on the
same work.
"""
