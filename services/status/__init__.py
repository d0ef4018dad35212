"""StatusService: the task row, its history, the durable pipeline and the watch streams. The only
one that speaks to PostgreSQL.
"""
