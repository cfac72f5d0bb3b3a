"""The object store, and the leases that say who may write."""
