"""What the training of StyleGAN and ToonGAN shares."""
