"""Videos: read with their exact times, kept steady, and written whole or not at all."""

from toonify.video.writing import CLIPS, write_video

__all__ = ["CLIPS", "write_video"]
