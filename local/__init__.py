"""The one-machine stack: real PostgreSQL, S3 and Druid, and Sluice's own processes.

Everything it makes lies under `.local/` of the project; nothing listens on anything but 127.0.0.1.
"""
