"""The only places that reach outside: the object store, W&B, installed models, local servers."""
