"""From a command to its trials, and from their results to the choice that is frozen."""
