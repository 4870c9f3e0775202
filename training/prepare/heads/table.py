"""Files of a set of heads: whole heads only, and one attribute table.

- `images/000123.png`, `masks/000123.png`, `depth/000123.png`: the head of seed 123;
- `heads/000123.json`: its attributes, landmarks and how it was made; written last, so that a head
  whose JSON is there is whole;
- `attributes.csv`: one row for every whole head, in the order of their seeds.

Heads to order have the names of their photos in place of a seed.
"""

import csv
import io
import json
import os
import shutil
from pathlib import Path

from training.prepare.heads.attributes import COLUMNS

# Folder of a set -> name of the file while the head is being made.
FILES = {"images": "image.png", "masks": "mask.png", "depth": "depth.png"}
RECORDS, RECORD = "heads", "head.json"
PARTIAL = ".partial"
# Classes of the masks, in the order of their numbers.
PARTS = (
    *("background", "skin", "lips", "mouth", "eyes", "brows", "hair", "beard"),
    *("glasses", "headwear", "clothes", "earrings"),
)
MADE = ("version", "size", "samples")


Key = int | str  # a seed, or the name of a photo


def stem(key: Key) -> str:
    """The name of a head's files."""
    return key if isinstance(key, str) else f"{key:06d}"


class HeadSet:
    """A folder of heads."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def path(self, kind: str, key: Key) -> Path:
        return self.folder / kind / f"{stem(key)}{'.json' if kind == RECORDS else '.png'}"

    def open(self) -> None:
        """Makes the folders."""
        for name in (*FILES, RECORDS, PARTIAL):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def partial(self, key: Key) -> Path:
        """The folder in which a head is made."""
        return self.folder / PARTIAL / stem(key)

    def record(self, key: Key) -> dict | None:
        """What is known of a whole head, or None for one that is missing or torn."""
        try:
            record = json.loads(self.path(RECORDS, key).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        files = (self.path(kind, key) for kind in FILES)
        return record if all(f.is_file() and f.stat().st_size for f in files) else None

    def missing(self, first: int, count: int) -> list[int]:
        """Seeds from `first` on, of `count`, whose heads are not whole."""
        return [seed for seed in range(first, first + count) if self.record(seed) is None]

    def finish(self, key: Key, version: str) -> None:
        """Moves a finished head to its place, its record last."""
        folder = self.partial(key)
        record = json.loads((folder / RECORD).read_text()) | {"version": version}
        (folder / RECORD).write_text(json.dumps(record))
        self.path(RECORDS, key).unlink(missing_ok=True)
        for kind, name in (*FILES.items(), (RECORDS, RECORD)):
            os.replace(folder / name, self.path(kind, key))
        shutil.rmtree(folder)

    def write_table(self) -> int:
        """Writes `attributes.csv` in one step; how many heads are in it."""
        names = (path.stem for path in (self.folder / RECORDS).glob("*.json"))
        names = sorted(names, key=lambda name: name.zfill(12) if name.isdecimal() else name)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("file", *COLUMNS, *MADE))
        count = 0
        for key in names:
            record = self.record(key)
            if record is None:
                continue
            row = record["attributes"]
            name = self.path("images", key).relative_to(self.folder).as_posix()
            writer.writerow((name, *(row[c] for c in COLUMNS), *(record[c] for c in MADE)))
            count += 1
        part = self.folder / "attributes.csv.part"
        part.write_text(text.getvalue())
        os.replace(part, self.folder / "attributes.csv")
        return count
