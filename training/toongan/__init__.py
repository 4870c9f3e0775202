"""Training of ToonGAN."""
