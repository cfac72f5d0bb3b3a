"""Prefect's server: connection, deployments, notifications, recovery."""
