"""Latents: w and w+, their directions, files and inversion."""

from toonify.latents.directions import fit_direction, sefa
from toonify.latents.files import latent_path, load_directions, load_latent, save_latent
from toonify.latents.operations import (
    Direction,
    around,
    check_edits,
    edit,
    edited,
    expand,
    interpolate,
    mix,
    normals,
    to_w_plus,
    truncate,
)

__all__ = [
    "Direction",
    "around",
    "check_edits",
    "edit",
    "edited",
    "expand",
    "fit_direction",
    "interpolate",
    "latent_path",
    "load_directions",
    "load_latent",
    "mix",
    "normals",
    "save_latent",
    "sefa",
    "to_w_plus",
    "truncate",
]
