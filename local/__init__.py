"""The one-machine stack: real PostgreSQL, S3 and Druid, and Sluice's own processes.

All its files are in `.local/` of the project. Everything listens only on 127.0.0.1.
"""
