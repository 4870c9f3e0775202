"""Videos and animations: decoding with exact times, stabilization and atomic writing."""

from toonify.video.writing import SUFFIXES, write_video

__all__ = ["SUFFIXES", "write_video"]
