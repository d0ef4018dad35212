"""StatusService: tasks, their events, the pipeline and the watch streams. The only service that uses
PostgreSQL.
"""
