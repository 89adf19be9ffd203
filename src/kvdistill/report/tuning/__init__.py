"""What the page shows of a tuning: its trials, its winners, and the curve of best-so-far."""
