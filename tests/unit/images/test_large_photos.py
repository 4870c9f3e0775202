"""Photos above the limit: JPEGs are read at half their size, and others refused with a reason."""

import warnings

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.odd_inputs import encoded, picture, with_orientation
from toonify import images
from toonify.images import ImageError

SIZE, HALF = (101, 50), (51, 25)
LIMIT = 51 * 25


def mpo(image):
    return encoded(image, "MPO", save_all=True, append_images=[image.resize((40, 20))])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("write", [mpo, lambda image: encoded(image, "JPEG", quality=95)])
def test_a_large_jpeg_is_read_at_half_its_size(mode, write):
    stored = picture(SIZE).convert(mode)
    photo = images.load(write(stored), max_pixels=LIMIT)
    assert (photo.mode, photo.size, photo.info) == ("RGB", HALF, {})
    near = np.asarray(stored.convert("RGB").resize(HALF, Image.Resampling.BOX), int)
    assert np.abs(np.asarray(photo) - near).mean() < 6
    assert images.load(write(stored), max_pixels=101 * 50).size == SIZE


def test_it_is_turned_too():
    data = encoded(picture(SIZE), "JPEG", exif=with_orientation(6))
    assert images.load(data, max_pixels=LIMIT).size == HALF[::-1]


def test_what_pillow_takes_for_a_bomb_is_read(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images.load(encoded(picture(SIZE), "JPEG"), max_pixels=LIMIT).size == HALF


@pytest.mark.parametrize(
    "data, limit",
    [
        (encoded(picture(SIZE), "JPEG"), LIMIT - 1),  # half of it is too large as well
        (encoded(picture(SIZE), "JPEG", progressive=True), LIMIT),
        (encoded(picture(SIZE), "PNG"), LIMIT),
        (encoded(picture(SIZE), "WEBP"), LIMIT),
    ],
    ids=["much larger", "progressive", "PNG", "WebP"],
)
def test_what_cannot_be_read_smaller_is_refused(data, limit):
    with pytest.raises(ImageError, match=r"101x50 = .* in the file of a JPEG that is not progress"):
        images.load(data, max_pixels=limit)


def test_an_image_in_memory_is_left_as_it_is(tmp_path):
    path = tmp_path / "large.jpg"
    path.write_bytes(encoded(picture(SIZE), "JPEG"))
    with Image.open(path) as photo:
        with pytest.raises(ImageError, match="in the file of a JPEG"):
            images.load(photo, max_pixels=LIMIT)
        assert photo.size == SIZE


def test_sizes_of_phones_fit():
    assert 8160 * 6144 <= 8192 * 6144 <= images.MAX_PIXELS < 51e6
    for width, height in ((9504, 6336), (12000, 9000), (16320, 12240), (16384, 12288)):
        assert images.MAX_PIXELS < width * height <= 4 * images.MAX_PIXELS


def test_the_reduction_is_described_and_counted(monkeypatch, tmp_path):
    monkeypatch.setattr(images.io, "MAX_PIXELS", LIMIT)
    for name, form in (("large.jpg", "JPEG"), ("large.png", "PNG")):
        (tmp_path / name).write_bytes(encoded(picture(SIZE), form))
    jpeg, png = tmp_path / "large.jpg", tmp_path / "large.png"
    words = "read at 51x25, half its size, as 101x50 = 0.00505 million pixels are too many"
    assert images.describe_reduction(jpeg) == words == images.describe_reduction(jpeg.read_bytes())
    assert (images.count_pixels(jpeg), images.count_pixels(png)) == (LIMIT, 5050)
    for other in (png, picture(SIZE), b"", tmp_path / "nowhere.jpg", None):
        assert images.describe_reduction(other) == ""
    monkeypatch.setattr(images.io, "MAX_PIXELS", 5050)
    assert images.describe_reduction(jpeg) == "" and images.count_pixels(jpeg) == 5050
