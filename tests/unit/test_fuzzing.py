"""Readers of files from strangers: damaged ones raise the documented error, and nothing else.

`TOONIFY_FUZZ` says how many damaged files each reader gets; the default keeps the suite short.
Before a release: `TOONIFY_FUZZ=20000 python -m pytest tests/unit/test_fuzzing.py`, and
`python -m tests.fuzz`, which looks for inputs that reach new code.
"""

import os

import pytest

from tests.fixtures.mutations import mutate, mutate_json
from tests.fixtures.readers import READERS, load_seeds
from toonify.ui import health

COUNT = int(os.environ.get("TOONIFY_FUZZ", "40"))
MAX_MEMORY = 2**30  # that reading takes
SHARES = {"photos": 4, "latents": 4, "descriptions": 4, "checkpoints": 6, "weights": 0.5}
TOLERANT = {"photos", "latents", "descriptions"}  # they read some damaged files
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def bounded_memory():
    """Fails a test after which this process has a GB more than before."""
    before = health.measure_memory()
    yield
    assert health.measure_memory() - before < MAX_MEMORY


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused_in_words(name, tmp_path):
    reader = READERS[name](tmp_path)
    count = round(SHARES.get(name, 2) * COUNT)
    damaged = mutate_json(load_seeds(reader), count) if reader.json else mutate(reader.seeds, count)
    accepted = refused = 0
    for number, data in enumerate(damaged):
        try:
            reader.read(data)
            accepted += 1
        except reader.expected as error:
            assert str(error), f"file {number}: an error without words"
            refused += 1
        except Exception as error:
            pytest.fail(f"file {number} ({data[:60]!r}...): {type(error).__name__}: {error}")
    assert refused and (accepted or name not in TOLERANT)


@pytest.mark.parametrize("name", READERS)
def test_what_is_damaged_is_read_as_it_was(name, tmp_path):
    reader = READERS[name](tmp_path)
    for seed in reader.seeds:
        reader.read(seed)


# Files that `tests.fuzz` found, by what reads them.
FOUND = [
    ("photos", b"II+\0\x08\0\0\0" + b"\xff" * 8),
    (
        "settings",
        b'{"_class_name": "MobileStyleGAN", "channels": [16, 16, 16, 16, 8, 8], "heads": [0e+308],'
        b' "mapping_layers": 2, "w_dim": 16, "z_dim": 16}',
    ),
]


@pytest.mark.parametrize("name, data", FOUND)
def test_files_that_once_were_no_refusal_are_refused(name, data, tmp_path):
    reader = READERS[name](tmp_path)
    with pytest.raises(reader.expected):
        reader.read(data)
