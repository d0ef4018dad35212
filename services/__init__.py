"""Sluice's services. They know each other only by the protobuf contracts below protos/."""
