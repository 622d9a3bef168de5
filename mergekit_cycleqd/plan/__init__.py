"""What would fail in the third hour, found in the first minute: checks, and forecast of a run."""
