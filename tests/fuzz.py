"""Looks for files that a reader fails on, guided by the lines that each file reaches (atheris).

    pip install atheris
    python -m tests.fuzz photos [--minutes 20] [--found FOLDER]

Stops at the first file that raises another error than the documented one, takes more than 1 GB or
20 s, and keeps it in FOLDER: make it a test. The files that reached new lines stay in FOLDER/NAME
and are the start of the next run.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["toonify", "PIL", "numpy.lib", "pickle", "zipfile"]):
    from tests.fixtures.mutations import mutate_json
    from tests.fixtures.readers import READERS, load_seeds

MAX_MB = 1024  # beyond what the imports take
MAX_S = 20
MAX_BYTES = 200_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=READERS, help="what reads the files")
    parser.add_argument("--minutes", type=float, default=20, help="time limit (default: 20)")
    parser.add_argument(
        "--found", type=Path, default=Path("fuzzed"), help="folder (default: fuzzed)"
    )
    options = parser.parse_args()
    reader = READERS[options.name](Path(tempfile.mkdtemp()))
    corpus = options.found / options.name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(reader.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def read(data: bytes) -> None:
        try:
            reader.read(data)
        except reader.expected as error:
            assert str(error), "an error without words"

    def change(data: bytes, size: int, seed: int) -> bytes:
        """Every second file of JSON stays JSON; the others are changed as bytes."""
        if reader.json and seed % 2:
            try:
                known = json.loads(data)
            except ValueError:
                known = None
            start = [known] if isinstance(known, dict) else load_seeds(reader)
            return next(mutate_json(start, 1, seed))[:size]
        return atheris.Mutate(data, size)

    from toonify.ui import health

    limit = MAX_MB + round(health.measure_memory() / 2**20)
    words = [
        *(sys.argv[0], str(corpus), f"-max_total_time={round(60 * options.minutes)}"),
        *(f"-rss_limit_mb={limit}", f"-timeout={MAX_S}", f"-max_len={MAX_BYTES}"),
        *(f"-artifact_prefix={options.found}/{options.name}-", "-print_final_stats=1"),
    ]
    atheris.Setup(words, read, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
