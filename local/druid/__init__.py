"""Apache Druid from Maven Central's jars, its official roles as processes, without Docker."""
