"""druid_gateway: the only client of Apache Druid. Loads, watches, counts, removes and asks; keeps
no state of its own.
"""
