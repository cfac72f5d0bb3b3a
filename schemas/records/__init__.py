"""Records: references between steps, verdicts, versions, events, outcomes."""
