/** What the worker can do: open a photo, draw it, change the drawing, write files, new faces. */

import { changeBackground, makeSticker } from "./background.js";
import { detect } from "./detection.js";
import { drawPhoto, drawPixels, toPixels } from "./draw.js";
import { encode } from "./encode.js";
import { UserError } from "./files.js";
import { scaleFace } from "./geometry.js";
import { findPeople } from "./masks.js";
import { morph } from "./morph.js";
import { normals } from "./random.js";
import { fitSize, makePixels, resizeArea } from "./resize.js";

const MAX_PIXELS = 24_000_000; // of a photo; larger ones are scaled down
const SHOWN_SIDE = 1600; // px of the longer side of what the page shows
const PREVIEW_SIDE = 320;
const READABLE = "Expected a JPEG, PNG, WebP, AVIF or GIF.";

/** One visitor's photo and drawings. */
export class Studio {
  /**
   * @param {Object} config config.json
   * @param {import("./runtime.js").Runtime} runtime
   */
  constructor(config, runtime) {
    Object.assign(this, { config, runtime });
    this.forget();
  }

  forget() {
    Object.assign(this, {
      photo: null, small: null, faces: null, people: null, toon: null, result: null, origin: "",
    });
  }

  style(name) {
    const style = this.config.styles.find((each) => each.name === name);
    if (!style) throw new UserError(`There is no style ${name} here.`);
    return style;
  }

  /** A network that draws, as `drawPhoto` calls it. */
  network({ file }) {
    return async (tensor, width, height) => {
      const photo = ["float32", tensor, [1, 3, height, width]];
      return (await this.runtime.run(file, { photo })).toon;
    };
  }

  /** Loads what the first drawing needs. */
  async warm({ style }) {
    const files = [this.style(style).file, ...Object.values(this.config.detector)];
    for (const file of files) await this.runtime.session(file);
    return { engine: this.runtime.describe() };
  }

  /** Reads a photo. */
  async open({ blob }) {
    this.forget();
    const { pixels, note } = await decode(blob);
    this.photo = pixels;
    const [w, h] = fitSize(pixels.width, pixels.height, PREVIEW_SIDE);
    this.small = w === pixels.width ? pixels : resizeArea(pixels, w, h);
    return { width: pixels.width, height: pixels.height, note, image: show(pixels) };
  }

  /** The faces of the photo, searched for once. */
  async findFaces({ report }) {
    if (!this.faces) {
      report(0.05, "Looking for faces");
      const run = async (name, shown, shape) => {
        const faces = ["float32", shown, shape];
        return (await this.runtime.run(this.config.detector[name], { faces })).answers;
      };
      this.faces = await detect(this.requirePhoto(), run);
    }
    return this.faces;
  }

  requirePhoto() {
    if (!this.photo) throw new UserError("Choose a photo first.");
    return this.photo;
  }

  /** A small drawing of the photo in a style. */
  async preview({ style }, tools) {
    const photo = this.requirePhoto();
    const { small } = this;
    const scale = [small.width / photo.width, small.height / photo.height];
    const faces = (await this.findFaces(tools)).map((face) => scaleFace(face, scale));
    const chosen = this.style(style);
    const run = this.network(chosen);
    const { toon } = await drawPhoto(small, faces, chosen, { ...tools, run });
    return { image: show(toon) };
  }

  /** The photo drawn at its own size, and changed by the options. */
  async draw(options, tools) {
    const start = performance.now();
    const photo = this.requirePhoto();
    const style = this.style(options.style);
    const faces = await this.findFaces(tools);
    if (this.toon?.style !== style) {
      this.toon = this.result = null; // before there is another one: a phone's memory is small
      const run = this.network(style);
      this.toon = { style, ...(await drawPhoto(photo, faces, style, { ...tools, run })) };
    }
    tools.report(0.95, "Finishing");
    await tools.pause();
    this.result = await this.change(options, tools);
    const drawn = options.strength > 0 && (style.scope === "photo" || this.toon.drawnFaces > 0);
    this.origin = drawn ? this.config.xmp.drawn : "";
    return {
      image: show(this.result),
      width: this.result.width,
      height: this.result.height,
      faces: faces.length,
      drawnFaces: this.toon.drawnFaces,
      seconds: (performance.now() - start) / 1000,
      engine: this.runtime.describe(),
    };
  }

  /** The drawing mixed with the photo, with another background, or as a sticker. */
  async change({ strength, background, color, sticker }, tools) {
    const mixed = await morph(this.photo, this.toon.toon, strength, tools.pause);
    if (background === "keep" && !sticker) return mixed;
    if (!this.people) {
      tools.report(0.96, "Looking for people");
      this.people = await findPeople(this.photo, async (tensor, shape) => {
        const photo = ["float32", tensor, shape];
        return (await this.runtime.run(this.config.parser, { photo })).masks;
      });
    }
    if (!sticker) return changeBackground(mixed, this.people, background, color);
    const cut = makeSticker(mixed, this.people);
    if (!cut) throw new UserError("No person was found, so there is nothing to cut out.");
    return cut;
  }

  /** The last drawing as a file. */
  async encode({ format }) {
    if (!this.result) throw new UserError("Draw a photo first.");
    return { blob: await encode(this.result, format, this.origin) };
  }

  /** New faces, of consecutive seeds. */
  async generate({ seed, count, truncation, classes, format }) {
    const { faces: about } = this.config;
    const noise = new Float32Array(count * about.zDim);
    for (let i = 0; i < count; i++) noise.set(normals(seed + i, 0, about.zDim), i * about.zDim);
    const chosen = Array.from({ length: count }, () => classes).flat();
    const answers = await this.runtime.run(about.file, {
      noise: ["float32", noise, [count, about.zDim]],
      classes: ["int64", BigInt64Array.from(chosen, BigInt), [count, classes.length]],
      truncation: ["float32", Float32Array.of(truncation), [1]],
    });
    const { faces, chosen: own } = answers;
    const side = about.resolution;
    const images = Array.from({ length: count }, (_, i) => {
      const tensor = faces.subarray(i * 3 * side * side, (i + 1) * 3 * side * side);
      return toPixels(tensor, side, side, side, side);
    });
    return {
      images: images.map((image) => show(image)),
      classes: images.map((_, i) =>
        [...own.subarray(i * classes.length, (i + 1) * classes.length)].map(Number)),
      blob: format ? await encode(images[0], format, this.config.xmp.generated) : null,
    };
  }

  /** A frame of the camera, drawn as it is. */
  async live({ frame, style }) {
    const pixels = read(frame, LIVE);
    const chosen = this.style(style);
    return { image: show(await drawPixels(pixels, chosen.patch, this.network(chosen)), LIVE) };
  }
}

/** The pixels of an image file, upright, on white, and what was changed. */
async function decode(blob) {
  let image;
  try {
    image = await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    throw new UserError(`${blob.name || "The file"} cannot be read as an image. ${READABLE}`);
  }
  const factor = Math.sqrt(MAX_PIXELS / (image.width * image.height));
  if (factor >= 1) return { pixels: read(image), note: "" };
  const size = `${image.width} × ${image.height} px`;
  const small = await createImageBitmap(image, {
    resizeWidth: Math.floor(image.width * factor),
    resizeHeight: Math.floor(image.height * factor),
    resizeQuality: "high",
  });
  image.close();
  return { pixels: read(small), note: `Scaled down from ${size}` };
}

/** Canvases that frames of the camera share: new ones for each frame take time. */
const LIVE = { read: null, show: null };

/** A context of that size, an old one if there is one; null where memory is missing. */
function openCanvas(kept, use, width, height) {
  const old = kept?.[use];
  if (old?.canvas.width === width && old.canvas.height === height) return old;
  const settings = { willReadFrequently: use === "read" };
  const context = new OffscreenCanvas(width, height).getContext("2d", settings);
  if (kept) kept[use] = context;
  return context;
}

/** The pixels of a bitmap, which is closed. */
function read(bitmap, kept = null) {
  const { width, height } = bitmap;
  const context = openCanvas(kept, "read", width, height);
  if (!context) throw new UserError("This photo is too large for this device.");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { data: context.getImageData(0, 0, width, height).data, width, height };
}

/** An image for the page, scaled down if it is large. */
function show(pixels, kept = null) {
  const [width, height] = fitSize(pixels.width, pixels.height, SHOWN_SIDE);
  const small = width === pixels.width ? pixels : shrinkWithAlpha(pixels, width, height);
  const context = openCanvas(kept, "show", width, height);
  context.putImageData(new ImageData(small.data, width, height), 0, 0);
  return context.canvas.transferToImageBitmap();
}

function shrinkWithAlpha(pixels, width, height) {
  const small = resizeArea(pixels, width, height);
  const alpha = makePixels(pixels.width, pixels.height);
  for (let i = 3; i < alpha.data.length; i += 4) alpha.data[i - 3] = pixels.data[i];
  const shrunk = resizeArea(alpha, width, height);
  for (let i = 3; i < small.data.length; i += 4) small.data[i] = shrunk.data[i - 3];
  return small;
}
