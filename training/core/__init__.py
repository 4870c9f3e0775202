"""What the training of all models shares."""
