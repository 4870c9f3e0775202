"""Draws the contact sheets of the portrait models' cards, to be looked at.

    python -m training.stylegan.contact_sheets hub_cards/faces/*.jpg --style STYLE --out hub_cards

writes `OUT/portrait.jpg` (faces from noise, consecutive seeds), `OUT/STYLE.jpg` (the whole photo
drawn, a row for each face: photo, aligned face, encoder's and refined inversion, toon, photo with
the toon in it) and `OUT/STYLE_blends.jpg` (one latent drawn at every switch of the layer swap).
"""

import argparse
from pathlib import Path

import torch
from PIL import Image

from toonify import images
from toonify.pipelines.stylegan import BASE, StyleGANPipeline
from training.metrics.contact_sheet import sheet

CELL = 256  # px of an image
SIDES = (4, 8, 16, 32, 64, 128, 256, 1024)
SHAPES = ("toon", "base")
BLENDED = 3  # faces on the sheet of blends


def from_noise(pipe: StyleGANPipeline, count: int = 24, columns: int = 8) -> Image.Image:
    """The base's faces of one seed at truncation 0.7."""
    faces = [images.to_pil(pipe.base(w[None])) for w in pipe.sample(count, seed=0)]
    return sheet([faces[i : i + columns] for i in range(0, count, columns)], CELL)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--style", required=True, help="a toon generator")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=30, help="of refinement (default 30)")
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--encoder", help="default: the base's own")
    options = parser.parse_args(arguments)
    pipe = StyleGANPipeline.from_pretrained(options.base, encoder=options.encoder)
    name = Path(options.style).name
    images.save(from_noise(pipe), options.out / f"{BASE}.jpg")
    rows, latents = [], []
    for path in options.photos:
        photo = images.load(path)
        result = pipe(photo, options.style, refine_steps=options.steps)
        if not result.portraits:
            print(f"{path}: no face to draw")
            continue
        part = result.portraits[0]
        encoded = images.to_pil(pipe.base(pipe.invert(part.crop.image)))
        rows.append([photo, part.crop.image, encoded, part.inversion, part.toon, result.image])
        images.save(sheet(rows, CELL), options.out / f"{name}.jpg")
        latents.append(part.w)
    images.save(blends(pipe, latents[:BLENDED], options.style), options.out / f"{name}_blends.jpg")


def blends(pipe: StyleGANPipeline, latents: list[torch.Tensor], style: str) -> Image.Image:
    """Two rows a latent, shape from toon and from base; a column for each size of the switch."""
    rows = [[] for _ in latents for _ in SHAPES]
    for side in SIDES:
        for place, shape_from in enumerate(SHAPES):  # each blend is made once, for all latents
            for number, w in enumerate(latents):
                drawn = pipe.toon(w, style, blend=side, shape_from=shape_from)
                rows[len(SHAPES) * number + place].append(images.to_pil(drawn))
    return sheet(rows, CELL)


if __name__ == "__main__":
    main()
