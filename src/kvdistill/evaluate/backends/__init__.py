"""How models are asked: lm-eval's own backends, and what a comparison of arms needs beside."""
