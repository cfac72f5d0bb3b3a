"""The current process and its machine: identity, signals, meters, files."""
