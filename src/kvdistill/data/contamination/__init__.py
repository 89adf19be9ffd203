"""Whether two sets of texts share an item: what counts as the same, and how it is found."""
