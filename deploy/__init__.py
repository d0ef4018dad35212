"""What a deployment needs beside the services: its environment, its checks and what containers run
once.
"""
