"""Texts that the student itself writes in training, for teachers to read."""
