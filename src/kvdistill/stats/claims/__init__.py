"""What only claims need: their names, measures of training curves, power before a study."""
