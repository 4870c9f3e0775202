"""Measures portraits for the tables that heads to order are fitted by.

    python -m training.prepare.heads.fitting PHOTOS... --people PEOPLE.csv

writes `quantiles.json` (measures of the face mesh among people) and `people.json` (weights that
read gender presentation, age and smile) beside this file. PEOPLE.csv has the columns `name` (of a
photo, without its suffix), `masculine`, `old` and `smiling`, each from 0 to 1, or empty where it is
not known. Needs MediaPipe: `pip install "toonify[teacher]"`.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from toonify.files import atomic_write
from training.data.sources import photos_by_name
from training.prepare.heads.fitting import measures, people
from training.prepare.teacher.face_mesh import detect_landmarks, five_points

LABELS = ("masculine", "old", "smiling")
QUANTILES = np.linspace(0, 1, 41)
RIDGE, SMILE_RIDGE = 300.0, 3.0  # of features, and of measures, scaled to a spread of 1


def fit_weights(features: np.ndarray, values: np.ndarray, ridge: float = RIDGE) -> dict:
    """Ridge regression of values (N,), as far as they are known, on features (N, C)."""
    known = ~np.isnan(values)
    features, values = features[known], values[known]
    mean, spread = features.mean(0), features.std(0) + 1e-6
    x = (features - mean) / spread
    weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ (values - values.mean()))
    weights = weights / spread
    bias = float(values.mean() - mean @ weights)
    return {"bias": round(bias, 5), "weights": [float(f"{w:.4g}") for w in weights]}


def fit_quantiles(measured: list[dict[str, float]], covariates: np.ndarray) -> dict:
    """How each measure changes with the covariates (N, 5), and the quantiles of the rest."""
    x = np.column_stack([covariates, np.ones(len(covariates))])
    table = {}
    for name in measured[0]:
        values = np.array([row[name] for row in measured])
        if name in measures.COVARIATES:
            slopes = np.zeros(x.shape[1])
        else:
            slopes = np.linalg.lstsq(x, values, rcond=None)[0]
        rest = values - covariates @ slopes[:-1]
        table[name] = {
            "slopes": [float(f"{slope:.4g}") for slope in slopes[:-1]],
            "quantiles": [round(float(q), 5) for q in np.quantile(rest, QUANTILES)],
        }
    return table


def read_labels(path: Path, names: list[str], column: str) -> np.ndarray:
    """(N,) labels of photos; NaN where there is none."""
    with open(path, encoding="utf-8", newline="") as file:
        known = {row["name"]: row[column] for row in csv.DictReader(file)}
    return np.array([float(known.get(name) or "nan") for name in names])


def make_tables(points: list, features: np.ndarray, labels: dict[str, np.ndarray]) -> tuple:
    """The two tables of faces.

    Args:
        points: (478, 3) landmarks of each face.
        features: (N, C) of `people.read_features`.
        labels: `masculine`, `old` and `smiling`, (N,) each, NaN where not known.
    """
    meshes = [measures.FrontalMesh(face) for face in points]
    measured = [measures.measure_face(mesh) for mesh in meshes]
    mouths = np.array([[row[name] for name in measures.SMILE] for row in measured])
    weights = {name: fit_weights(features, labels[name]) for name in ("masculine", "old")}
    weights["smiling"] = fit_weights(mouths, labels["smiling"], SMILE_RIDGE)
    persons = [people.read_person(row, weights) for row in features]
    covariates = np.stack(
        [
            measures.make_covariates(row, mesh.yaw, person.masculine, person.old)
            for row, mesh, person in zip(measured, meshes, persons, strict=True)
        ]
    )
    poses = {
        name: round(float(np.median([getattr(mesh, name) for mesh in meshes])), 3)
        for name in ("yaw", "pitch")
    }
    table = {"people": len(points), "poses": poses}
    return table | {"measures": fit_quantiles(measured, covariates)}, weights


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.prepare.heads.fitting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", nargs="+", help="folders of portraits, one face each")
    parser.add_argument("--people", type=Path, required=True, help="CSV of what is known")
    options = parser.parse_args(arguments)
    names, points, features = [], [], []
    for name, picture in tqdm(sorted(photos_by_name(options.photos).items())):
        photo = picture.load()
        face = detect_landmarks(np.asarray(photo))
        if face is None:
            continue
        names.append(name)
        points.append(face)
        features.append(people.read_features(photo, five_points(face)))
    labels = {name: read_labels(options.people, names, name) for name in LABELS}
    for table, path in zip(
        make_tables(points, np.stack(features), labels),
        (measures.TABLE, people.WEIGHTS),
        strict=True,
    ):
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
