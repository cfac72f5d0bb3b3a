"""The Prefect server: connection, deployments, notifications, recovery."""
