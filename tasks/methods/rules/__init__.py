"""What a candidate must show, and the statistics behind it."""
