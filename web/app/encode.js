/** Image files that say that a network has drawn them: XMP in PNG and WebP. */

const text = (bytes, start, length) => String.fromCharCode(...bytes.subarray(start, start + length));
const encoder = new TextEncoder();

/**
 * Encodes pixels.
 *
 * @param {import("./resize.js").Pixels} pixels
 * @param {"png"|"webp"} format
 * @param {string} xmp what the file says of its origin
 * @returns {Promise<Blob>} a PNG where the browser writes no WebP
 */
export async function encode(pixels, format, xmp) {
  const canvas = new OffscreenCanvas(pixels.width, pixels.height);
  const image = new ImageData(pixels.data, pixels.width, pixels.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  const type = `image/${format}`;
  const blob = await canvas.convertToBlob({ type, quality: 0.92 });
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const add = blob.type === "image/webp" ? addToWebp : addToPng;
  return new Blob([add(bytes, xmp, pixels.width, pixels.height)], { type: blob.type });
}

/**
 * A PNG with XMP in an iTXt chunk after its header.
 *
 * @param {Uint8Array} png
 * @param {string} xmp
 * @returns {Uint8Array}
 */
export function addToPng(png, xmp) {
  const header = 8 + 25; // signature and IHDR
  // Keyword, end, no compression, method, no language, no translated keyword.
  const content = encoder.encode(`iTXtXML:com.adobe.xmp\0\0\0\0\0${xmp}`);
  const chunk = new Uint8Array(content.length + 8);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, content.length - 4);
  chunk.set(content, 4);
  view.setUint32(chunk.length - 4, crc32(content));
  return join(png.subarray(0, header), chunk, png.subarray(header));
}

let crcTable;

function crc32(bytes) {
  crcTable ??= Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n;
  });
  let crc = ~0;
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

const ALPHA = 0x10, XMP = 0x04; // flags of VP8X

/**
 * A WebP with XMP in its last chunk.
 *
 * @param {Uint8Array} webp
 * @param {string} xmp
 * @param {number} width
 * @param {number} height
 * @returns {Uint8Array}
 */
export function addToWebp(webp, xmp, width, height) {
  let chunks = webp.slice(12);
  if (text(chunks, 0, 4) === "VP8X") {
    chunks[8] |= XMP;
  } else {
    // A lossless image says in a bit of its header whether it has transparency.
    const transparent = text(chunks, 0, 4) === "VP8L" && (chunks[12] >> 4) & 1;
    const extended = new Uint8Array(10);
    extended[0] = XMP | (transparent ? ALPHA : 0);
    [width - 1, height - 1].forEach((side, i) => {
      for (let byte = 0; byte < 3; byte++) extended[4 + 3 * i + byte] = side >> (8 * byte);
    });
    chunks = join(riffChunk("VP8X", extended), chunks);
  }
  const content = join(encoder.encode("WEBP"), chunks, riffChunk("XMP ", encoder.encode(xmp)));
  return riffChunk("RIFF", content);
}

function riffChunk(name, content) {
  const chunk = new Uint8Array(8 + content.length + (content.length % 2));
  chunk.set(encoder.encode(name));
  new DataView(chunk.buffer).setUint32(4, content.length, true);
  chunk.set(content, 8);
  return chunk;
}

/** Bytes one after the other. @param {...Uint8Array} parts @returns {Uint8Array} */
export function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
