/** The Live tab: the camera, drawn frame by frame. A frame is taken when the last has been drawn. */

import { byId, closeCamera, make, openCamera, showError, suffix } from "./dom.js";
import { markRecording } from "./recordings.js";

const CAMERA_WIDTH = 640; // px that the camera is asked for
const SPAN = 20; // frames over which the rate is measured
const RECORDED_RATE = 30; // images per second at most
const FORMATS = ["video/webm;codecs=vp9", "video/webm", "video/mp4"];

/** The tab. */
export class LiveTab {
  /** @param {import("./client.js").Client} client @param {Object} config config.json */
  constructor(client, config) {
    Object.assign(this, { client, config, running: null, recorder: null });
    for (const { name, title } of config.styles) {
      byId("live-style").append(make("option", { value: name, textContent: title }));
    }
    byId("live-style").value = config.defaultStyle;
    byId("live-start").addEventListener("click", () => (this.running ? this.stop() : this.start()));
    byId("live-record").addEventListener("click", () => this.record());
    if (!self.MediaRecorder) byId("live-record").hidden = true;
  }

  async start() {
    const video = byId("live-video");
    showError(byId("live-error"), null);
    try {
      await openCamera(video, CAMERA_WIDTH);
    } catch (error) {
      return showError(byId("live-error"), error);
    }
    video.hidden = false;
    const running = (this.running = {}); // until another one or none
    byId("live-start").textContent = "Stop";
    byId("live-record").disabled = false;
    byId("live-report").textContent = "Loading";
    this.times = [];
    await this.run(video, running).catch((error) => showError(byId("live-error"), error));
    if (this.running === running) this.stop();
  }

  async run(video, running) {
    while (this.running === running) {
      const side = Number(byId("live-size").value);
      const frame = await takeSquare(video, side);
      const another = nextImage(video); // one that comes while this one is drawn is not waited for
      const options = { frame, style: byId("live-style").value };
      const { image } = await this.client.call("live", options, { transfer: [frame] });
      if (this.running !== running) return image.close();
      this.show(image);
      await another;
    }
  }

  show(image) {
    const canvas = byId("live-toon");
    if (canvas.width !== image.width) [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d").drawImage(image, 0, 0);
    image.close();
    this.times = [...this.times, performance.now()].slice(-SPAN);
    const seconds = (this.times.at(-1) - this.times[0]) / 1000;
    if (!seconds) return;
    const rate = (this.times.length - 1) / seconds;
    byId("live-report").textContent = `${rate.toFixed(1)} frames per second, ${canvas.width} px`;
  }

  /** Begins to record what is drawn, or ends it. */
  record() {
    if (this.recorder) return this.recorder.stop();
    const type = FORMATS.find((format) => MediaRecorder.isTypeSupported(format));
    const stream = byId("live-toon").captureStream(RECORDED_RATE);
    const parts = [];
    this.recorder = new MediaRecorder(stream, type ? { mimeType: type } : {});
    this.recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
    this.recorder.addEventListener("stop", () => {
      const blob = new Blob(parts, { type: this.recorder.mimeType });
      this.recorder = null;
      byId("live-record").textContent = "Record";
      markRecording(blob, this.config).then((marked) => this.offer(marked));
    });
    this.recorder.start();
    byId("live-record").textContent = "End the recording";
  }

  offer(blob) {
    const link = byId("live-recording");
    if (link.href) URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(blob);
    link.download = `live${suffix(blob)}`;
    link.hidden = false;
  }

  /** Lets the camera go. */
  stop() {
    this.running = null;
    this.recorder?.stop();
    closeCamera(byId("live-video"));
    byId("live-video").hidden = true;
    byId("live-start").textContent = "Start";
    byId("live-record").disabled = true;
    byId("live-report").textContent = "";
  }
}

/** Waits for the camera's next image. */
function nextImage(video) {
  return new Promise((resolve) => {
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
}

/** The middle of the camera's image, as a square. */
async function takeSquare(video, side) {
  const { videoWidth: width, videoHeight: height } = video;
  const shorter = Math.min(width, height);
  const [left, top] = [(width - shorter) / 2, (height - shorter) / 2];
  return createImageBitmap(video, left, top, shorter, shorter, {
    resizeWidth: side, resizeHeight: side, resizeQuality: "medium",
  });
}
