"""Faces: detected, aligned, pasted back, tracked and read."""

from toonify.faces.alignment import align, paste, paste_into, paste_order
from toonify.faces.detection import detect
from toonify.faces.geometry import Crop, Face, frontal_eye_distance, inside, scale_face
from toonify.faces.parsing import FaceMasks, parse

__all__ = [
    "Crop",
    "Face",
    "FaceMasks",
    "align",
    "detect",
    "frontal_eye_distance",
    "inside",
    "parse",
    "paste",
    "paste_into",
    "paste_order",
    "scale_face",
]
