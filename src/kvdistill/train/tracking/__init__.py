"""Experiment trackers: what they are told of a run beside its numbers."""
