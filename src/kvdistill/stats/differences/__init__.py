"""What sets two arms apart: by their frozen settings, and by what their runs recorded."""
