"""Training of the face parser."""
