"""The running process and its machine: identity, signals, meters, memory limit, home."""
