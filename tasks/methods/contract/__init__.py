"""The contract: clauses that rows must satisfy, and their check by Great Expectations."""
