"""Steps of the chain, one a file; `methods` and `services` are their building blocks."""
