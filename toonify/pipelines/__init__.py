"""The rooms in the order a photo goes through them, one pipeline a GAN."""
