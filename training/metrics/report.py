"""Gathers the metrics of many photos and their toons, without keeping any of them whole."""

import statistics

import numpy as np
from PIL import Image
from tqdm import tqdm

from toonify.faces import Face, detect
from training.core.perceptual import MobileNetV2Features
from training.data.images import Picture
from training.metrics import distances as metrics_distances
from training.metrics import feature_extractors
from training.metrics import images as image_metrics
from training.metrics.feature_extractors import Extractor

CROPS = 600  # of each set, for the style distance
MIN_FOR_FRECHET = 10_000  # samples, as Heusel et al. advise for FID


class ImageSet:
    """A set of images, of which only the small copies that distances need are kept."""

    def __init__(self, networks: list[Extractor]):
        self.networks = networks
        self.small: list[Image.Image] = []
        self.squares: dict[str, list[Image.Image]] = {network.name: [] for network in networks}

    def add(self, picture: Image.Image) -> None:
        self.small.append(image_metrics.at_short_side(picture))
        for network in self.networks:
            self.squares[network.name].append(
                feature_extractors.center_square(picture, network.side)
            )


class StyleSet:
    """The images of a style, and the distances of photos and toons to them."""

    def __init__(self, pictures: list[Picture], networks: list[Extractor]):
        self.networks = networks
        self.features = MobileNetV2Features(metrics_distances.STAGES)
        self.images = ImageSet(networks)
        edges = []
        for picture in tqdm(pictures, desc="style", unit="picture"):
            self.images.add(picture.load())
            edges.append(image_metrics.edge_density(self.images.small[-1]))
        self.edge_density = statistics.mean(edges)
        self.statistics = metrics_distances.style_statistics(
            self.images.small, self.features, CROPS
        )
        self.rows = self.embed(self.images)

    def embed(self, images: ImageSet) -> dict[str, np.ndarray]:
        """Each extractor's features of a set."""
        return {
            network.name: feature_extractors.embed(network, images.squares[network.name])
            for network in self.networks
        }

    def style_distance(self, photos: ImageSet, toons: ImageSet) -> dict:
        """The style distance of the photos and of the toons, and their ratio."""
        before, after = (
            metrics_distances.kernel_distance(
                metrics_distances.style_statistics(images.small, self.features, CROPS),
                self.statistics,
            )
            for images in (photos, toons)
        )
        return {
            "style_distance_mobilenet_v2": {
                "photos": round(before, 4),
                "drawings": round(after, 4),
                "ratio": round(metrics_distances.style_ratio(after, before), 3),
            }
        }

    def distances(self, photos: ImageSet, toons: ImageSet) -> dict:
        """Frechet and kernel distances through each extractor, named after it."""
        fewest = min(len(photos.small), len(self.images.small))
        if fewest < 3:
            note = f"{fewest} images are too few for Frechet and kernel distances, which need 3"
            return {"notes": [note]}
        figures, notes = {}, []
        sets = {"photos": self.embed(photos), "drawings": self.embed(toons)}
        for network in self.networks:
            frechet, kernel = (f"{prefix}_{network.name}" for prefix in network.prefixes)
            theirs = self.rows[network.name]
            figures[frechet], figures[kernel] = {}, {}
            for what, rows in sets.items():
                ours = rows[network.name]
                found = set_distances(ours, theirs)
                figures[frechet][what] = found[0]
                figures[kernel] |= {what: found[1], f"{what}_standard_error": found[2]}
            if fewest < MIN_FOR_FRECHET:
                notes.append(
                    f"{frechet} is biased upwards: it compares {len(ours)} photos and {len(theirs)}"
                    f" style images in {network.dimensions} dimensions. Compare it only with"
                    f" values of equal numbers. {kernel} has no such bias."
                )
        return {**figures, "notes": notes} if notes else figures


class FaceMetrics:
    """Gathers how toons change the largest face of each photo."""

    def __init__(self):
        self.found = self.lost = 0
        self.hues: dict[str, list[float]] = {"all": [], "light": [], "medium": [], "dark": []}
        self.shifts: list[float] = []
        self.roughness: list[float] = []

    def add(self, photo: Image.Image, toon: Image.Image, face: Face) -> None:
        self.found += 1
        before = image_metrics.cheek_color(photo, face)
        shift = image_metrics.hue_shift(before, image_metrics.cheek_color(toon, face))
        self.hues["all"].append(shift)
        self.hues[image_metrics.skin_tone(before)].append(shift)
        self.roughness += image_metrics.skin_roughness(photo, toon, face)
        again = detect(toon)
        if again:
            steps = [np.linalg.norm(other.points - face.points, axis=1).mean() for other in again]
            self.shifts.append(float(min(steps) / face.eye_distance))
        self.lost += not again

    def figures(self) -> dict:
        """Hue shift of the cheeks in degrees, by skin tone; shift of the five points in eye
        distances; skin detail of the toon as a share of the photo's."""
        figures = {
            "faces_in_photos": self.found,
            "faces_lost_in_drawings": self.lost,
            "landmark_shift_eye_distances_median": round(statistics.median(self.shifts), 3)
            if self.shifts
            else None,
            "skin_hue_shift_degrees": {
                tone: {"faces": len(values), **median_and_p95(values, 1)}
                for tone, values in self.hues.items()
                if values
            },
        }
        if self.roughness:
            figures["skin_roughness"] = {
                "discs": len(self.roughness),
                **median_and_p95(self.roughness, 2),
                "share_above_2": round(float(np.mean(np.array(self.roughness) > 2)), 3),
            }
        return figures


def set_distances(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """Frechet distance, kernel distance and its standard error of two sets of rows."""
    values = (
        metrics_distances.frechet_distance(ours, theirs),
        *metrics_distances.kernel_inception_distance(ours, theirs),
    )
    return tuple(map(significant, values))


def median_and_p95(values: list[float], digits: int) -> dict[str, float]:
    median, p95 = np.percentile(values, [50, 95])
    return {"median": round(float(median), digits), "p95": round(float(p95), digits)}


def significant(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")
