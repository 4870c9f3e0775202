"""Training images: folders, archives, Hub data sets."""
