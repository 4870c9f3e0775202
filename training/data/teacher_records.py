"""The records and labels that `training.prepare.teacher` writes beside its drawings."""

import json
from pathlib import Path

RARE_FACTOR = 3  # how much more often a face with glasses or a beard is shown in training
RECORDS = "teacher.jsonl"  # in the folder of a look, one JSON object a photo
# Values of `masks/NAME.png`.
LABELS = {"background": 0, "person": 1, "hair": 2, "skin": 3, "clothes": 4}

# Folders beside the drawings of a look with dots: see `training.prepare.teacher.folder`.
HALFTONE_LAYERS = ("plain", "ink", "coverage")


def is_rare(record: dict) -> bool:
    """Whether a record names glasses or a beard, which most photos lack."""
    return bool(record.get("glasses") or record.get("beard"))


def read_records(path: Path) -> dict[str, dict]:
    """Reads the records of a look.

    Args:
        path: the file; it need not exist.

    Returns:
        Record by name. A line that a killed process left unfinished is ignored.
    """
    records = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and "name" in record:
                records[record["name"]] = record
    return records
