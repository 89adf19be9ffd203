"""Equal tuning: what a sweep asks of it, which points are drawn, and which of them wins."""
