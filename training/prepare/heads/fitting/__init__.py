"""Finds the numbers of a head for the face in a photo."""
