"""Rules of the gate, and their statistics."""
