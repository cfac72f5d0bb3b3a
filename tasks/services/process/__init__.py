"""The own process and its machine: identity, signals, meters, files."""
