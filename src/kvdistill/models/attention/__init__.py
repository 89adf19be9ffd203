"""What a forward shows of attention: where queries, keys and values are, and how keys turn."""
