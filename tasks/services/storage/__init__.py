"""The object store, and the leases that serialize its writers."""
