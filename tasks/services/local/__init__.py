"""Servers on a laptop: the embedded object store and the supervised stack."""
