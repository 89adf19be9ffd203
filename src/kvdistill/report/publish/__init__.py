"""A finished run as a repository of the hub: card, scores in public forms, how it was made."""
