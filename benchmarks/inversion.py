"""How well and how fast faces are found in w: the encoder, refined, and the published way.

    python -m benchmarks.inversion PHOTOS --limit 60 --steps 0 30 100 --out runs/inversion
    python -m benchmarks.inversion PHOTOS --limit 8 --steps 0 --from-mean 500 --out runs/against

Each face is aligned, found in w and drawn at full size; image and face are compared at 256 px:
`perceptual` is the distance of MobileNet V2 features (stages 1, 3, 6 and 10, ImageNet weights, each
of unit size on faces), `pixels` the mean absolute difference of values in [-1, 1], both weighted
towards the face; `landmarks` the mean distance of the detector's five points in percent of the
crop's side. `--from-mean N` is the projection that public toonify programs use: N steps from the
mean face, drawn at full size and compared at 256 px; `--mean-side 256` draws it at 256 px instead,
so that it takes a tenth of the time. Results go to OUT/results.json as they come; a run that was
stopped goes on. OUT/sheet.jpg has a row for each face.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image

from toonify import faces, images
from toonify.latents import inversion
from toonify.pipelines.stylegan import StyleGANPipeline
from training.core import records
from training.metrics.contact_sheet import sheet

SIDE = inversion.SIDE
CELL = 192  # px of an image on the sheet


class FullSize:
    """A base generator whose images for comparing are drawn at full size first."""

    def __init__(self, base):
        self.base = base

    def synthesis(self, ws, side: int):
        return F.interpolate(self.base.synthesis(ws), size=(side, side), mode="area")


def measure(pipe: StyleGANPipeline, crop: Image.Image, w: torch.Tensor) -> dict:
    """Distances between a face and what its latent draws at full size, compared at 256 px."""
    encoder = pipe.network("encoder")
    face = images.to_tensor(crop.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    drawn = F.interpolate(pipe.base(w), size=(SIDE, SIDE), mode="area")
    with torch.inference_mode():
        parts = inversion.distances(
            drawn,
            face,
            encoder.perceive(drawn),
            encoder.perceive(face),
            inversion.face_weight(SIDE),
        )
    result = {name: float(part) for name, part in parts.items()}
    points = [faces.detect(images.to_pil(picture)) for picture in (face, drawn)]
    if all(points):
        ours, theirs = (found[0].points for found in points)
        result["landmarks"] = float(((ours - theirs) ** 2).sum(1).mean() ** 0.5) / SIDE * 100
    return result


def invert(pipe: StyleGANPipeline, crop: Image.Image, steps: int, from_mean: int, side: int):
    """w+ and the seconds it took; `from_mean` above 0 starts from the mean face instead."""
    begin = time.perf_counter()
    if not from_mean:
        return pipe.invert(crop, steps), time.perf_counter() - begin
    base, encoder = pipe.network("base"), pipe.network("encoder")
    face = images.to_tensor(crop.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    start = pipe.w_avg.expand(1, pipe.num_ws, -1)
    w = inversion.refine(
        face,
        start,
        base if side == SIDE else FullSize(base),
        encoder,
        from_mean,
        learning_rate=0.1,  # that of the public programs
    )
    return w, time.perf_counter() - begin


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", nargs="+", type=Path, help="photos, or folders of them")
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 30, 100])
    parser.add_argument("--from-mean", type=int, default=0, metavar="STEPS")
    parser.add_argument("--mean-side", type=int, choices=(SIDE, 1024), default=1024)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", default="portrait")
    parser.add_argument("--encoder", help="default: the base's own")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "N"))
    options = parser.parse_args(arguments)
    pipe = StyleGANPipeline.from_pretrained(options.base, encoder=options.encoder, device="cpu")
    ways = {f"{steps} steps": (steps, 0) for steps in options.steps}
    if options.from_mean:
        ways[f"mean {options.from_mean} at {options.mean_side}"] = (0, options.from_mean)
    paths = [
        path
        for given in options.photos
        for path in (sorted(given.iterdir()) if given.is_dir() else [given])
        if path.suffix.lower() in images.EXTENSIONS
    ][: options.limit]
    part, parts = options.part
    file = options.out / f"results{part if parts > 1 else ''}.json"
    results = records.read(file)
    for path in paths[part::parts]:
        photo = images.load(path)
        found = faces.detect(photo)
        if not found:
            continue
        crop = faces.align(photo, found[0], 512).image
        for way, (steps, from_mean) in ways.items():
            if way in results.get(path.stem, {}):
                continue
            w, seconds = invert(pipe, crop, steps, from_mean, options.mean_side)
            row = measure(pipe, crop, w) | {"seconds": seconds}
            results.setdefault(path.stem, {})[way] = row
            picture = images.to_pil(F.interpolate(pipe.base(w), size=(512, 512), mode="area"))
            images.save(picture, options.out / "pictures" / f"{path.stem} {way}.jpg")
            images.save(crop, options.out / "pictures" / f"{path.stem} face.jpg")
            records.write(results, file)
            print(path.stem, way, json.dumps({k: round(v, 4) for k, v in row.items()}), flush=True)
    report(options.out)


def report(out: Path) -> None:
    """Prints the medians of all results in `out` and draws the sheet."""
    results = {}
    for file in sorted(out.glob("results*.json")):
        results |= records.read(file)
    ways = list(dict.fromkeys(way for row in results.values() for way in row))
    print(f"{'':<22}" + "".join(f"{n:>12}" for n in ("perceptual", "pixels", "landmarks", "s")))
    for way in ways:
        rows = [row[way] for row in results.values() if way in row]
        medians = [
            statistics.median(row[key] for row in rows if key in row)
            for key in ("perceptual", "pixels", "landmarks", "seconds")
            if any(key in row for row in rows)
        ]
        print(f"{way:<22}" + "".join(f"{m:>12.4f}" for m in medians) + f"  ({len(rows)} faces)")
    columns = ["face", *ways]
    rows = []
    for name in results:
        files = [out / "pictures" / f"{name} {column}.jpg" for column in columns]
        rows.append([images.load(file) for file in files if file.exists()])
    images.save(sheet(rows, CELL), out / "sheet.jpg")


if __name__ == "__main__":
    main()
