"""What a model writes: batches of answers, where each row ends, and what it draws."""
