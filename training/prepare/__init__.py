"""Commands that make training data out of images."""
