/** The Photo tab: a photo comes in, all styles are shown, one is drawn large. */

import { Compare } from "./compare.js";
import { byId, closeCamera, download, make, openCamera, paint, showError, suffix } from "./dom.js";

const SNAPSHOT_WIDTH = 1280; // px that the camera is asked for

/** The tab. */
export class PhotoTab {
  /**
   * @param {import("./client.js").Client} client
   * @param {Object} config config.json
   * @param {URL} base the folder of the site
   * @param {() => void} drawn called after the first drawing
   */
  constructor(client, config, base, drawn) {
    Object.assign(this, { client, config, base, drawn });
    this.style = config.defaultStyle;
    this.name = "photo";
    this.opened = false;
    this.work = null; // an AbortController while something is drawn
    this.compare = new Compare(byId("compare"));
    this.addExamples();
    this.addWall();
    this.connect();
    this.choose(this.style, false);
  }

  addExamples() {
    for (const { thumbnail, photo, text } of this.config.examples) {
      const image = make("img", {
        src: new URL(thumbnail, this.base).href, alt: text, width: 96, height: 96, loading: "lazy",
      });
      const button = make("button", {}, [image]);
      button.addEventListener("click", async () => {
        const answer = await fetch(new URL(photo, this.base)).catch(() => null);
        if (answer?.ok) this.open(new File([await answer.blob()], photo.split("/").pop()));
        else showError(byId("error"), new Error("The example cannot be loaded."));
      });
      byId("examples").append(button);
    }
  }

  addWall() {
    this.previews = new Map();
    for (const { name, title } of this.config.styles) {
      const canvas = make("canvas", { width: 8, height: 8 });
      const button = make("button", { title }, [canvas, title]);
      button.dataset.style = name;
      button.addEventListener("click", () => this.choose(name));
      this.previews.set(name, { button, canvas });
      byId("wall").append(button);
    }
  }

  connect() {
    const drop = byId("drop");
    byId("file").addEventListener("change", ({ target }) => {
      this.open(target.files[0]);
      target.value = ""; // so that the same file can be chosen again
    });
    addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
    addEventListener("dragleave", () => drop.classList.remove("over"));
    addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      this.open(event.dataTransfer.files[0]);
    });
    addEventListener("paste", (event) => this.open(event.clipboardData?.files[0]));
    byId("stop").addEventListener("click", () => this.work?.abort());
    byId("download").addEventListener("click", () => this.save());
    byId("share").addEventListener("click", () => this.share());
    byId("share").hidden = !navigator.canShare;
    this.connectSettings();
    this.connectCamera();
  }

  connectSettings() {
    byId("strength").addEventListener("input", ({ target }) => {
      byId("strength-value").textContent = `${Math.round(100 * target.value)} %`;
    });
    for (const id of ["strength", "background", "color", "sticker"]) {
      byId(id).addEventListener("change", () => {
        byId("color").hidden = byId("background").value !== "plain";
        if (this.opened) this.draw(false);
      });
    }
  }

  connectCamera() {
    const video = byId("snap-video");
    const close = () => {
      closeCamera(video);
      byId("snap").hidden = true;
    };
    byId("snap-open").addEventListener("click", async () => {
      showError(byId("error"), null);
      byId("snap").hidden = false;
      await openCamera(video, SNAPSHOT_WIDTH).catch((error) => {
        close();
        showError(byId("error"), error);
      });
    });
    byId("snap-close").addEventListener("click", close);
    byId("snap-take").addEventListener("click", async () => {
      if (!video.videoWidth) return;
      const canvas = make("canvas", {});
      [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
      canvas.getContext("2d").drawImage(video, 0, 0);
      close();
      canvas.toBlob((blob) => this.open(new File([blob], "camera.png", { type: blob.type })));
    });
  }

  /** Chooses a style, and draws the photo in it. */
  choose(name, draw = true) {
    this.style = name;
    const { description, license } = this.config.styles.find((style) => style.name === name);
    byId("about").textContent = `${description} License of the weights: ${license}.`;
    for (const [each, { button }] of this.previews) {
      button.setAttribute("aria-pressed", String(each === name));
    }
    if (draw && this.opened) this.draw(false);
  }

  get options() {
    const hex = byId("color").value;
    return {
      style: this.style,
      strength: Number(byId("strength").value),
      background: byId("background").value,
      color: [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16)),
      sticker: byId("sticker").checked,
    };
  }

  /** Opens a photo and draws it, large and then in all styles. @param {File} [file] */
  async open(file) {
    if (!file) return;
    this.work?.abort();
    showError(byId("error"), null);
    byId("report").textContent = "";
    for (const { canvas } of this.previews.values()) [canvas.width, canvas.height] = [8, 8];
    this.name = file.name.replace(/\.[^.]*$/, "") || "photo";
    try {
      const photo = await this.client.call("open", { blob: file });
      this.opened = true;
      this.note = photo.note;
      byId("empty").hidden = true;
      this.compare.showPhoto(photo.image);
    } catch (error) {
      this.opened = false;
      return showError(byId("error"), error);
    }
    await this.draw(true);
  }

  /** Draws the photo large; with `wall` also small in all styles. */
  async draw(wall) {
    this.work?.abort();
    const work = (this.work = new AbortController());
    const missing = wall || [...this.previews.values()].some(({ canvas }) => canvas.width <= 8);
    showError(byId("error"), null);
    byId("working").hidden = false;
    const progress = (fraction, text) => {
      byId("progress").value = fraction;
      byId("step").textContent = text;
    };
    progress(0, "Starting");
    try {
      const options = this.options;
      const result = await this.client.call("draw", options, { progress, signal: work.signal });
      this.show(result, options);
      if (missing) await this.drawWall(progress, work.signal);
    } catch (error) {
      showError(byId("error"), error);
      if (error.name === "Stopped" && this.work === work) byId("report").textContent ||= "Stopped.";
    } finally {
      if (this.work === work) {
        this.work = null;
        byId("working").hidden = true;
      }
    }
  }

  show(result, options) {
    const compares = !options.sticker && options.background !== "transparent";
    this.compare.showToon(result.image, compares);
    const { faces, drawnFaces } = result;
    byId("report").textContent = [
      this.note,
      `${faces} ${faces === 1 ? "face" : "faces"} found, ${drawnFaces} drawn separately`,
      `${result.width} × ${result.height} px`,
      `${result.seconds.toFixed(1)} s`,
      result.engine,
    ].filter(Boolean).join(" · ");
    byId("download").disabled = byId("share").disabled = false;
    this.drawn();
  }

  async drawWall(progress, signal) {
    const { styles } = this.config;
    for (const [i, { name, title }] of styles.entries()) {
      const say = () => progress((i + 1) / (styles.length + 1), `Preview of ${title}`);
      say();
      const { image } = await this.client.call("preview", { style: name }, { progress: say, signal });
      paint(this.previews.get(name).canvas, image);
    }
  }

  /** The drawing as a file with a name. @returns {Promise<File>} */
  async file() {
    const { blob } = await this.client.call("encode", { format: byId("format").value });
    const kind = byId("sticker").checked ? "sticker" : this.style;
    return new File([blob], `${this.name}-${kind}${suffix(blob)}`, { type: blob.type });
  }

  async save() {
    try {
      const file = await this.file();
      download(file, file.name);
    } catch (error) {
      showError(byId("error"), error);
    }
  }

  async share() {
    try {
      const files = [await this.file()];
      if (navigator.canShare({ files })) await navigator.share({ files });
      else download(files[0], files[0].name);
    } catch (error) {
      if (error.name !== "AbortError") showError(byId("error"), error);
    }
  }
}
