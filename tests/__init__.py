"""Tests in rings: unit, contract, integration, e2e; each further out uses more of the real
parts.
"""
