"""Training of AnimeGANv2."""
