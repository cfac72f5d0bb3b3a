"""What steps hand on and what is stored: references, verdicts, versions, events, outcomes."""
