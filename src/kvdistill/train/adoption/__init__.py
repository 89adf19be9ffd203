"""What a model will be refused for, and how it pairs with others, before any weights are read."""
