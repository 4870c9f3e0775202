"""Writes faces that a generator draws, each with its latent: what a toon generator learns from.

    python -m training.stylegan.generated_faces DATA [--generator portrait] [--faces 300]
    python -m training.stylegan.generated_faces DATA --photos PHOTOS...

writes `DATA/photos/NAME.png` and `DATA/w/NAME.safetensors`. With `--photos`, the latents are those
that the generator's encoder finds of the largest face of each photo, so that a toon generator also
sees latents (w+) as real people have them. `training.prepare.teacher DATA/photos DATA` then draws
the faces, and `train_stylegan.py --preset toon --data DATA` learns to draw them from the latents.

The command can be stopped and run again: only what is missing is drawn.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from toonify import faces, images, latents
from toonify.pipelines.stylegan import StyleGANPipeline
from training.data.aligned import drawn_latent
from training.data.sources import photos_by_name

TRUNCATION = (0.45, 0.9)


def write_faces(data: Path, pipe: StyleGANPipeline, found: Iterator, side: int) -> int:
    """Writes the image and the latent of each (name, w or w+) that is not there yet.

    Args:
        data: folder for `photos/` and `w/`.
        pipe: whose base draws the faces.
        found: names, and functions that give the latent: w (1, D), w+ (1, L, D), or None if a photo
            has no face.
        side: side of the images in px.

    Returns:
        The number of faces written by this run.
    """
    for folder in ("photos", "w"):
        (data / folder).mkdir(parents=True, exist_ok=True)
    written = 0
    for name, find in found:
        image_file = data / "photos" / f"{name}.png"
        if image_file.exists() or (w := find()) is None:
            continue
        face = images.to_pil(pipe.base(w))
        latents.save_latent(latents.latent_path(data / "w", name), w, pipe.name)
        images.save(face.resize((side, side), Image.Resampling.LANCZOS), image_file)
        written += 1
    return written


def sample(pipe: StyleGANPipeline, count: int, seed: int) -> Iterator:
    """Names of random faces, and functions that give their latents, w (1, D).

    Args:
        pipe: whose base has these latents.
        count: number of faces.
        seed: random seed; face i depends on `seed` and i alone.
    """
    network = pipe.network("base")
    for index in tqdm(range(count), desc="faces", unit="face"):
        yield (
            f"face_{seed}_{index:06d}",
            lambda i=index: drawn_latent(network, seed, i, *TRUNCATION),
        )


def invert(pipe: StyleGANPipeline, sources: list[str], steps: int) -> Iterator:
    """Names of photos, and functions that give the latents of their largest faces, w+ (1, L, D).

    Args:
        pipe: whose encoder finds the latents.
        sources: folders, archives, Hub data sets or files of photos.
        steps: steps of refinement of each latent, 0 or more.
    """
    for name, source in tqdm(photos_by_name(sources).items(), desc="photos", unit="photo"):

        def find(source=source) -> torch.Tensor | None:
            try:
                photo = source.load()
            except images.ImageError as error:
                tqdm.write(f"skipped {source.file}: {error}")
                return None
            seen = faces.detect(photo)
            return pipe.invert(faces.align(photo, seen[0]).image, steps) if seen else None

        yield name, find


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", type=Path, help="folder for photos/ and w/")
    add("--generator", default="portrait", help="generator of faces (default: portrait)")
    add("--faces", type=int, default=300, help="number of random faces (default: 300)")
    add("--seed", type=int, default=0, help="random seed of the faces (default: 0)")
    add("--photos", nargs="+", default=[], help="folders or archives of photos to invert instead")
    add("--refine-steps", type=int, default=0, help="steps of each inversion (default: 0)")
    add("--side", type=int, default=512, help="side of the images in px (default: 512)")
    options = parser.parse_args(arguments)
    for name, least in (("faces", 1), ("side", 64), ("refine_steps", 0)):
        if getattr(options, name) < least:
            parser.error(f"--{name.replace('_', '-')}: expected at least {least}")
    try:
        pipe = StyleGANPipeline.from_pretrained(options.generator, device="cpu")
        if options.photos:
            found = invert(pipe, options.photos, options.refine_steps)
        else:
            found = sample(pipe, options.faces, options.seed)
        count = write_faces(options.data, pipe, found, options.side)
    except ValueError as error:
        parser.error(str(error))
    print(f"{count} faces written to {options.data}")


if __name__ == "__main__":
    main()
