"""Diagnose a deployment from outside: what is wrong, and what to do."""
