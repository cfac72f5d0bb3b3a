"""The model registry: versions, log, documents, proposals, transfer, garbage collection."""
