"""Servers on this machine: the embedded object store and the supervised Prefect stack."""
