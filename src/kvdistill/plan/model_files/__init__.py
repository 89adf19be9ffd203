"""What a model's own files say of it, read without its weights: a config.json, a GGUF header."""
