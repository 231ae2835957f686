"""What turns predictions into scores, and scores into scores with an interval."""
