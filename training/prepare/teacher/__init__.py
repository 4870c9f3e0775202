"""A teacher for small networks: draws the people of a photo as cartoon characters, by code."""

from training.prepare.teacher.looks import LOOKS, Look

__all__ = ["LOOKS", "Look"]
