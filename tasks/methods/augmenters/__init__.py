"""How training rows are multiplied."""
