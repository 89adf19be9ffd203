"""GGUF files, as llama.cpp and its kin write them, made into folders that transformers reads."""
