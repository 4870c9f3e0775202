"""Written videos in a real browser: upright, each frame at its time, and with sound."""

import base64

import numpy as np
import pytest

from tests.e2e import test_browser
from tests.e2e.test_browser import pytestmark  # noqa: F401
from tests.fixtures.toy_videos import late, make_video, turn
from tests.unit.video.test_decoding import copied

chromium = test_browser.chromium
SIZE = (96, 64)
TIMES = [n / 5 + 0.1 for n in range(5)]  # in the middle of each frame
SHOW = """
async ([data, times]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const video = document.createElement("video");
    video.muted = true;
    document.body.append(video);
    const until = (name) => new Promise((done, fail) => {
        video.addEventListener(name, done, {once: true});
        video.addEventListener("error", () => fail(video.error.message), {once: true});
        setTimeout(() => fail(`no ${name}`), 20000);
    });
    const ready = until("loadeddata");
    video.src = URL.createObjectURL(new Blob([bytes], {type: "video/mp4"}));
    await ready;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const pen = canvas.getContext("2d", {willReadFrequently: true});
    const frames = [];
    for (const time of times) {
        const found = until("seeked");
        const painted = new Promise((done) => {
            video.requestVideoFrameCallback(done);  // not if the same frame is shown again
            setTimeout(done, 1000);
        });
        video.currentTime = time;
        await found;
        await painted;
        pen.drawImage(video, 0, 0);
        const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
        frames.push(Array.from(pixels));
    }
    const end = until("ended");
    video.currentTime = 0;
    await video.play();
    await end;
    return [canvas.width, canvas.height, frames, video.webkitAudioDecodedByteCount];
}
"""


def draw(number, size):
    """An image without symmetry, whose bars are the bits of its number."""
    width, height = size
    image = np.full((height, width, 3), 60, np.uint8)
    image[: height // 4] = (200, 40, 40)
    for bit in range(3):
        left = 8 + 24 * bit
        image[24:40, left : left + 16] = 220 if number >> bit & 1 else 20
    return image


@pytest.fixture
def show(chromium):
    """Frames of a file at `TIMES`, and the bytes of sound that the browser decoded."""
    page = chromium.new_page()
    page.set_default_timeout(60_000)

    def show(path):
        data = base64.b64encode(path.read_bytes()).decode()
        width, height, frames, sound = page.evaluate(SHOW, [data, TIMES])
        shape = (height, width, 4)
        return [np.array(f, np.uint8).reshape(shape)[..., :3].astype(int) for f in frames], sound

    yield show
    page.close()


def is_near(frames, expected):
    assert [frame.shape for frame in frames] == [image.shape for image in expected]
    return all(abs(f - e).mean() < 8 for f, e in zip(frames, expected, strict=True))


def test_a_mirrored_phone_video_looks_like_its_source(tmp_path, show):
    source = turn(
        make_video(tmp_path / "a.mp4", range(0, 1000, 200), 1000, draw=draw), (0, -1, -1, 0)
    )
    copied(source, tmp_path / "b.mp4")
    upright = [draw(n, SIZE)[::-1, ::-1].swapaxes(0, 1) for n in range(5)]
    for path in (source, tmp_path / "b.mp4"):
        frames, sound = show(path)
        assert is_near(frames, upright) and sound > 0


@pytest.mark.parametrize("sound", ["mp2", "ac3"])
def test_sound_of_broadcasts_is_heard(tmp_path, show, sound):
    """Browsers refuse a whole MP4 for some MPEG layer 2, and are silent at Dolby's sound."""
    whole = make_video(tmp_path / "a.mp4", range(0, 1000, 200), 1000, draw=draw, sound=sound)
    copied(late(whole, tmp_path / "late.ts", 40_000), tmp_path / "b.mp4")
    frames, heard = show(tmp_path / "b.mp4")
    assert is_near(frames, [draw(n, SIZE) for n in range(5)]) and heard > 0
