"""transformers' configs, made from the files of models without their weights."""
