"""druid_gateway: the only client of Apache Druid. Submits, watches, verifies and removes loads, and
runs queries. Stateless.
"""
