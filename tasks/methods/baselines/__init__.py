"""What a tuned model must be better than."""
