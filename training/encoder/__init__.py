"""Training of the encoder from photos to latents."""
