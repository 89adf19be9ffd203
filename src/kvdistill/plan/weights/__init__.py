"""Weights that runs share: which files they are read from, and what names what is made of them."""
