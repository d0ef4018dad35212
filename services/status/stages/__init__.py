"""The stages of the pipeline: each does its work by idempotent calls and ends with one
transition.
"""
