"""Plumbing that every process shares: settings, logging, tracing, errors, channels, the server's
life. No domain code.
"""
