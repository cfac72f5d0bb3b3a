"""The chain of steps that a flow goes through, called or foretold."""
