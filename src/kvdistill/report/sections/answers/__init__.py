"""Scores by how answers were given and read: in two forms, and by lm-eval's own tasks."""
