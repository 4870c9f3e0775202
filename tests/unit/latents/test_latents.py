"""Latents move as asked, planted directions are found again, and hostile files are refused."""

import contextlib
import io
import json
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from toonify import latents

ROWS, SIZE = 5, 8


@pytest.fixture
def w():
    return torch.randn(3, SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def plus():
    return torch.randn(3, ROWS, SIZE, generator=torch.Generator().manual_seed(1))


def unit(index=0):
    return torch.eye(SIZE)[index]


# Moving ---------------------------------------------------------------------------------------


def test_every_layer_is_the_same_w(w):
    plus = latents.expand(w, ROWS)
    assert plus.shape == (3, ROWS, SIZE)
    assert all(torch.equal(plus[:, row], w) for row in range(ROWS))


def test_truncation_ends_at_the_mean_and_keeps_the_fine_layers(w, plus):
    mean = torch.ones(SIZE)
    assert torch.equal(latents.truncate(w, mean, 0.0), mean.expand(3, SIZE))
    torch.testing.assert_close(latents.truncate(w, mean, 1.0), w)
    cut = latents.truncate(plus, mean, 0.0, cutoff=2)
    assert (cut[:, :2] == 1).all() and torch.equal(cut[:, 2:], plus[:, 2:])
    torch.testing.assert_close(latents.truncate(plus, mean, 0.5), (plus + mean) / 2)


def test_mixing_takes_coarse_layers_from_the_first(plus):
    other = plus + 10
    mixed = latents.mix(plus, other, 2)
    assert torch.equal(mixed[:, :2], plus[:, :2]) and torch.equal(mixed[:, 2:], other[:, 2:])
    assert torch.equal(latents.mix(plus, other, 0), other)
    assert torch.equal(latents.mix(plus, other, ROWS), plus)


def test_an_edit_moves_only_its_layers_and_leaves_its_input(plus):
    before = plus.clone()
    moved = latents.edit(plus, unit(), 2.0, layers=(1, 2)) - plus
    assert torch.equal(plus, before)
    assert (moved[:, [0, 3, 4]] == 0).all() and (moved[..., 1:] == 0).all()
    torch.testing.assert_close(moved[:, 1:3, 0], torch.full((3, 2), 2.0))


def test_an_edit_takes_an_amount_for_each_sample(w):
    moved = latents.edit(w, unit(3), torch.tensor([-1.0, 0.0, 2.0])) - w
    torch.testing.assert_close(moved[:, 3], torch.tensor([-1.0, 0.0, 2.0]))


def test_a_path_goes_from_start_to_end_and_slows_down_there(plus):
    path = latents.interpolate(plus[:1], plus[1:2], 11)
    assert path.shape == (11, ROWS, SIZE)
    torch.testing.assert_close(path[0], plus[0])
    torch.testing.assert_close(path[-1], plus[1])
    torch.testing.assert_close(path[5], (plus[0] + plus[1]) / 2)
    pace = (path[1:] - path[:-1]).flatten(1).norm(dim=1)
    assert pace[0] < pace[5] and pace[-1] < pace[5]


@pytest.mark.parametrize("steps", [2, 7, 8])
def test_a_loop_closes_without_a_repeated_latent(w, steps):
    path = latents.interpolate(w[:1], w[1:2], steps, loop=True)
    assert path.shape == (steps, SIZE)
    torch.testing.assert_close(path[0], w[0])
    assert not torch.allclose(path[-1], path[0])
    if steps > 2:
        torch.testing.assert_close(path[-1], path[1])
    if steps % 2 == 0:
        torch.testing.assert_close(path[steps // 2], w[1])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda w, p: latents.expand(p, ROWS), r"\(N, D\)"),
        (lambda w, p: latents.expand(w, 0), "layers=0"),
        (lambda w, p: latents.truncate(w, torch.ones(3), 0.5), r"\(8\)"),
        (lambda w, p: latents.truncate(w, torch.ones(SIZE), 0.5, 2), r"\(N, L, D\)"),
        (lambda w, p: latents.truncate(p, torch.ones(SIZE), 0.5, 9), "cutoff=9"),
        (lambda w, p: latents.truncate(w, torch.ones(SIZE), float("nan")), "psi=nan"),
        (lambda w, p: latents.mix(p, p[:, 1:], 2), r"\(3, 5, 8\)"),
        (lambda w, p: latents.mix(p, p, 6), "layer=6"),
        (lambda w, p: latents.edit(w, torch.ones(3), 1), "direction"),
        (lambda w, p: latents.edit(w, unit(), 1, (0, 1)), r"\(N, L, D\)"),
        (lambda w, p: latents.edit(p, unit(), 1, (3, 5)), "up to 4"),
        (lambda w, p: latents.edit(p, unit(), float("inf")), "amount"),
        (lambda w, p: latents.interpolate(w, w, 5), r"\(1, D\)"),
        (lambda w, p: latents.interpolate(w[:1], p[:1], 5), r"\(1, 8\)"),
        (lambda w, p: latents.interpolate(w[:1], w[:1], 1), "steps=1"),
        (lambda w, p: latents.sefa([], 1), "empty"),
        (lambda w, p: latents.sefa([w, w.T], 1), r"\(C, 8\)"),
        (lambda w, p: latents.sefa([w], 9), "count=9"),
        (lambda w, p: latents.fit_direction(w, torch.ones(4)), r"\(3\)"),
        (lambda w, p: latents.fit_direction(w, torch.ones(3)), "constant"),
        (lambda w, p: latents.fit_direction(w, torch.tensor([1.0, 2.0, torch.nan])), "finite"),
    ],
)
def test_an_error_says_what_was_expected(w, plus, call, said):
    with pytest.raises(ValueError, match=said):
        call(w, plus)


# Finding --------------------------------------------------------------------------------------


def test_sefa_finds_the_direction_to_which_the_styles_answer():
    generator = torch.Generator().manual_seed(0)
    planted = torch.nn.functional.normalize(torch.randn(SIZE, generator=generator), dim=0)
    weights = [
        5 * torch.randn(40, 1, generator=generator) * planted
        + torch.randn(40, SIZE, generator=generator)
        for _ in range(3)
    ]
    directions, values = latents.sefa(weights, 4)
    assert directions.shape == (4, SIZE) and values.shape == (4,)
    assert (directions[0] @ planted).abs() > 0.98
    torch.testing.assert_close(directions @ directions.T, torch.eye(4), atol=1e-5, rtol=0)
    assert (values.diff() <= 0).all()
    _, whole = latents.sefa(weights, SIZE)
    torch.testing.assert_close(whole.sum(), torch.tensor(120.0))  # one for each unit row


def planted_samples(noise=0.3):
    generator = torch.Generator().manual_seed(3)
    spread = torch.linspace(0.5, 2, SIZE)
    w = torch.randn(400, SIZE, generator=generator) * spread + 1
    signal = w @ unit(2) + noise * torch.randn(400, generator=generator)
    return w, signal


def test_a_planted_direction_is_found_with_its_scale():
    w, signal = planted_samples()
    direction, scale = latents.fit_direction(w, signal)
    torch.testing.assert_close(direction.norm(), torch.tensor(1.0))
    assert direction[2] > 0.98
    assert scale == pytest.approx(float(signal.std()), rel=0.1)
    assert latents.fit_direction(w, -signal)[0][2] < -0.98


def test_only_the_ranks_of_a_signal_count():
    w, signal = planted_samples()
    wild = signal.clone()
    wild[signal.argmax()] = 1e9
    direction, scale = latents.fit_direction(w, signal)
    bent, bent_scale = latents.fit_direction(w, wild**3)
    assert torch.equal(direction, bent) and scale == bent_scale


def test_fewer_samples_than_dimensions_still_point_the_right_way():
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(60, 100, generator=generator)
    direction, _ = latents.fit_direction(w, w[:, 0])
    assert direction[0] > 0.5


def test_a_direction_is_orthogonal_to_others():
    w, signal = planted_samples()
    mixed = signal + w @ unit(4)
    others = [unit(4), unit(5)]
    direction, _ = latents.fit_direction(w, mixed, others)
    assert direction[2] > 0.98 and direction[[4, 5]].abs().max() < 1e-5
    with pytest.raises(ValueError, match="others"):
        latents.fit_direction(w, signal, list(torch.eye(SIZE)))


# On disk --------------------------------------------------------------------------------------


def archive(**members) -> bytes:
    """A .npz of arrays and raw bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for name, member in members.items():
            if not isinstance(member, bytes):
                buffer = io.BytesIO()
                np.save(buffer, member, allow_pickle=True)
                member = buffer.getvalue()
            target.writestr(f"{name}.npy", member)
    return file.getvalue()


def load(content, **options):
    return latents.load_latent(content, ROWS, SIZE, **options)


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_a_saved_latent_comes_back(tmp_path, plus, suffix):
    path = tmp_path / f"face.{suffix}"
    with pytest.warns(DeprecationWarning) if suffix == "npz" else contextlib.nullcontext():
        latents.save_latent(path, plus[:1], "photoreal")
    assert torch.equal(load(path), plus[:1])
    assert torch.equal(load(path.read_bytes(), model="photoreal"), plus[:1])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with pytest.raises(ValueError, match="photoreal"):
        load(path, model="another")


def test_saving_refuses_what_cannot_be_loaded(tmp_path, plus):
    for name, latent, model in (
        ("a.safetensors", plus, "m"),
        ("a.pt", plus[:1], "m"),
        ("a.safetensors", plus[:1], "m" * 999),
    ):
        with pytest.raises(ValueError, match="expected"):
            latents.save_latent(tmp_path / name, latent, model)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(SIZE,), (1, SIZE), (ROWS, SIZE), (1, ROWS, SIZE)])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f8"])
def test_all_usual_shapes_and_float_types_are_read(shape, dtype):
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    w = load(archive(w=np.asfortranarray(values)))
    assert w.shape == (1, ROWS, SIZE) and w.dtype == torch.float32
    expected = torch.from_numpy(values.astype("<f4")).reshape(-1, SIZE).expand(ROWS, SIZE)
    assert torch.equal(w[0], expected)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("the pickle was executed",)


def tensors(metadata=None, **held) -> bytes:
    """A safetensors file."""
    return save(held, metadata)


def npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def renamed(content: bytes) -> bytes:
    return content.replace(b"w.npy", b"/.npy")


def encrypted(content: bytes) -> bytes:
    start = content.index(b"PK\x01\x02")
    return content[: start + 8] + b"\x01" + content[start + 9 :]


def lying(content: bytes) -> bytes:
    """A central directory that declares 64 bytes, whatever is packed."""
    start = content.index(b"PK\x01\x02")
    return content[: start + 24] + struct.pack("<I", 64) + content[start + 28 :]


GOOD = np.zeros((1, ROWS, SIZE), np.float32)
HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a complete"),
        (b"\x80\x04garbage", "not a complete"),
        (archive(w=GOOD)[:-30], "not a complete"),
        (archive(w=np.array([Bomb()], dtype=object)), "w has the type|not a plain NumPy array"),
        (archive(w=GOOD, model=np.array(Bomb(), dtype=object)), "model"),
        (archive(w=npy(HEADER % "(1, 1000000000, 512)")), "shape"),
        (archive(w=npy(HEADER % f"(1, {ROWS}, {SIZE})", b"\0" * 8)), "cannot be read"),
        (archive(w=npy("(" * 900)), "not a plain"),
        (archive(w=npy("{" + " " * 5000)), "not a plain"),
        (archive(w=b""), "not a plain"),
        (archive(w=bytes(5_000_000)), "unpacks to"),
        (lying(archive(w=bytes(3_000_000))), "not a"),
        (b"\0" * 2_000_001, "larger"),
        (archive(w=np.zeros((1, ROWS, SIZE), np.int64)), "type"),
        (archive(w=np.zeros((1, ROWS, SIZE), np.complex64)), "type"),
        (archive(w=np.zeros(SIZE, "U3")), "type"),
        (archive(w=np.full((1, ROWS, SIZE), np.nan, np.float32)), "finite"),
        (archive(w=np.full((1, ROWS, SIZE), -np.inf)), "finite"),
        (archive(w=np.full((1, ROWS, SIZE), 1e30)), "1e"),
        (archive(w=np.zeros(SIZE + 1, np.float32)), r"\(9,\).*\(8,\)"),
        (archive(w=np.zeros((2, ROWS, SIZE), np.float32)), "shape"),
        (archive(w=np.float32(1)), "shape"),
        (archive(v=GOOD), "members"),
        (archive(model=np.array("m")), "named w"),
        (archive(w=GOOD, model=np.array("m" * 300)), "short text"),
        (archive(w=GOOD, model=np.array(["m"])), "shape"),
        (archive(w=GOOD, **{f"x{i}": GOOD for i in range(50)}), "51 members"),
        (renamed(archive(w=GOOD)), "members"),
        (encrypted(archive(w=GOOD)), "encrypted"),
        (archive(w=npy("{'descr': " + "-" * 900 + "1}")), "not a plain"),
        (archive(w=npy("{'descr': '<f4', 'fortran_order': False, 'shape': [[]]: 1}")), "not a"),
        (archive(w=npy(HEADER.replace("<f4", "<U999999999") % "()")), "type"),
        (tensors(w=torch.zeros(SIZE))[:-1], "not a complete"),
        (b"\xff" * 7 + b"\0" + b"{}", "not a complete"),
        (tensors(v=torch.zeros(SIZE)), "holds 1 tensors"),
        (tensors(w=torch.zeros(SIZE), v=torch.zeros(1)), "holds 2 tensors"),
        (tensors(w=torch.zeros(SIZE, dtype=torch.int64)), "type"),
        (tensors(w=torch.zeros(SIZE, dtype=torch.complex64)), "type"),
        (tensors(w=torch.zeros(SIZE + 1)), r"\(9,\).*\(8,\)"),
        (tensors(w=torch.zeros(0, ROWS, SIZE)), "shape"),
        (tensors(w=torch.full((SIZE,), torch.inf)), "finite"),
        (tensors(w=torch.full((SIZE,), 1e30)), "1e"),
    ],
)
def test_hostile_files_are_refused_in_plain_words(content, said):
    with pytest.raises(ValueError, match=said):
        load(content)


DRAWN = np.random.default_rng(0).normal(size=(1, ROWS, SIZE))


@pytest.mark.parametrize(
    "content",
    [
        archive(w=DRAWN, model=np.array("m")),
        tensors({"model": "m"}, w=torch.from_numpy(DRAWN).float()),
    ],
    ids=["npz", "safetensors"],
)
def test_damaged_files_never_end_in_another_error(content):
    rng = np.random.default_rng(1)
    for _ in range(400):
        damaged = bytearray(content)
        for place in rng.integers(0, len(damaged), rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        if rng.random() < 0.2:
            damaged = damaged[: rng.integers(len(damaged))]
        try:
            assert load(bytes(damaged)).shape == (1, ROWS, SIZE)
        except ValueError as error:
            assert str(error).startswith("latent")


def test_the_older_file_is_found_where_there_is_no_newer_one(tmp_path):
    assert latents.latent_path(tmp_path, "a.b").name == "a.b.safetensors"
    (tmp_path / "a.b.npz").touch()
    assert latents.latent_path(tmp_path, "a.b").name == "a.b.npz"
    (tmp_path / "a.b.safetensors").touch()
    assert latents.latent_path(tmp_path, "a.b").name == "a.b.safetensors"


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.npz"):
        load(tmp_path / "none.npz")


def test_directions_are_read_with_their_layers(tmp_path):
    file = tmp_path / "directions.safetensors"
    about = {"smile": json.dumps({"rows": [1, 3], "label": "Smile"})}
    save_file({"smile": unit().half()}, file, metadata=about)
    smile = latents.load_directions(file)["smile"]
    assert (smile.name, smile.label, smile.layers) == ("smile", "Smile", (1, 3))
    assert torch.equal(smile.vector, unit())


@pytest.mark.parametrize(
    ("vector", "about", "said"),
    [
        (unit(), None, "metadata"),
        (unit(), "no json", "metadata"),
        (unit(), '{"layers": 4, "label": "Smile"}', "metadata"),
        (unit(), '{"layers": [3, 1], "label": "Smile"}', "layers"),
        (unit(), '{"layers": [0, 1.5], "label": "Smile"}', "layers"),
        (unit()[None], '{"rows": [0, 1], "label": "Smile"}', r"\(D\)"),
        (unit() / 0, '{"rows": [0, 1], "label": "Smile"}', "finite"),
    ],
)
def test_directions_that_say_nothing_sensible_are_refused(tmp_path, vector, about, said):
    file = tmp_path / "directions.safetensors"
    save_file({"smile": vector}, file, metadata={} if about is None else {"smile": about})
    with pytest.raises(ValueError, match=said):
        latents.load_directions(file)


def test_a_broken_file_of_directions_is_named(tmp_path):
    file = tmp_path / "directions.safetensors"
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"directions\.safetensors"):
        latents.load_directions(file)
