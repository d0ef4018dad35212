"""Fails call 1, 2, 3, ... of every stage, between fakes behind our own ports."""
