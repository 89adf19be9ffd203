"""The runs that a command asks for, before they are a plan: read, composed, tuned."""
