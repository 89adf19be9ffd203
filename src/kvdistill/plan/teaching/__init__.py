"""What of its teachers a run reads or trains on, told from its config alone."""
