"""Apache Druid without Docker: its official roles as processes, from the jars of Maven Central."""
