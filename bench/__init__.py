"""Benchmarks that compare Sluice with the alternatives on the same work, interleaved in one run."""
