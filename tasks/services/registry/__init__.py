"""The model registry: versions, the log of aliases, documents, proposals, transfer."""
