"""Infrastructure shared by all processes: settings, logs, traces, errors, channels, the server.

Domain code has its place in the services.
"""
