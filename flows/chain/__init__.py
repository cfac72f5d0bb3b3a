"""The chain of steps of a flow, run or forecast."""
