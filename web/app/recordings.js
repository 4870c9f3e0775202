/** Recordings that say that a network has drawn them: a tag in WebM, XMP in MP4. */

import { join } from "./encode.js";

const EBML = 0x1a45dfa3, SEGMENT = 0x18538067, CLUSTER = 0x1f43b675; // elements of WebM
const SEEK_HEAD = 0x114d9b74, VOID = 0xec;
const TAGS = [0x12, 0x54, 0xc3, 0x67];
const TAG = "DIGITAL_SOURCE_TYPE"; // as in the library's films
const XMP_BOX = "be7acfcb97a942e89c71999491e3afac";
const encoder = new TextEncoder();

/**
 * Adds the mark to a recording as the browser has made it.
 *
 * @param {Blob} blob
 * @param {{xmp: {drawn: string}, sourceType: string}} config
 * @returns {Promise<Blob>}
 */
export async function markRecording(blob, { xmp, sourceType }) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const isMp4 = blob.type.startsWith("video/mp4");
  const marked = isMp4 ? addBox(bytes, xmp.drawn) : addTag(bytes, sourceType);
  return new Blob([marked], { type: blob.type });
}

/** An MP4 with XMP in a last box. */
function addBox(mp4, xmp) {
  const content = encoder.encode(xmp);
  const head = new Uint8Array(24);
  new DataView(head.buffer).setUint32(0, head.length + content.length);
  head.set(encoder.encode("uuid"), 4);
  head.set(XMP_BOX.match(/../g).map((byte) => parseInt(byte, 16)), 8);
  return join(mp4, head, content);
}

/**
 * A WebM with a tag: before the first images, or, in a file with an index, at its end, so that what
 * the index says still holds.
 *
 * @param {Uint8Array} webm
 * @param {string} value
 * @returns {Uint8Array}
 */
export function addTag(webm, value) {
  const head = readElement(webm, 0);
  const segment = head?.id === EBML ? readElement(webm, head.end) : null;
  if (segment?.id !== SEGMENT) return webm;
  const tag = element([0x67, 0xc8], element([0x45, 0xa3], TAG), element([0x44, 0x87], value));
  const whole = element(TAGS, element([0x73, 0x73], element([0x63, 0xc0]), tag));
  if (segment.end < Infinity) return append(webm, segment, whole);
  let place = segment.start;
  for (let next; (next = readElement(webm, place)) && next.id !== CLUSTER; ) place = next.end;
  return join(webm.subarray(0, place), whole, webm.subarray(place));
}

/** A file with an index, and tags at its end, which are entered into the index if it has room. */
function append(webm, segment, tags) {
  const { start, end, sizeLength } = segment;
  const size = writeSize(end - start + tags.length, sizeLength);
  const grown = join(webm.subarray(0, start - sizeLength), size, webm.subarray(start, end), tags);
  const index = readElement(webm, start);
  const gap = index?.id === SEEK_HEAD ? readElement(webm, index.end) : null;
  if (gap?.id !== VOID) return grown;
  const place = new Uint8Array(8);
  new DataView(place.buffer).setBigUint64(0, BigInt(end - start)); // of the tags in the segment
  const id = element([0x53, 0xab], Uint8Array.from(TAGS));
  const entry = element([0x4d, 0xbb], id, element([0x53, 0xac], place));
  const entries = webm.subarray(index.start, index.end);
  const longer = element([0x11, 0x4d, 0x9b, 0x74], entries, entry);
  const rest = gap.end - start - longer.length - 2; // a gap has 2 bytes beside its content
  if (rest < 0 || rest >= 0x7f) return grown;
  grown.set(join(longer, element([VOID], new Uint8Array(rest))), start);
  return grown;
}

/** What stands at a place: its name, and where its content begins and ends; null at the end. */
function readElement(bytes, at) {
  if (at >= bytes.length) return null;
  const idLength = Math.clz32(bytes[at]) - 23;
  let id = 0;
  for (let i = 0; i < idLength; i++) id = id * 256 + bytes[at + i];
  const first = bytes[at + idLength];
  const sizeLength = Math.clz32(first) - 23;
  let size = first & (0xff >> sizeLength);
  let unknown = size === 0xff >> sizeLength; // as in what is streamed
  for (let i = 1; i < sizeLength; i++) {
    const byte = bytes[at + idLength + i];
    size = size * 256 + byte;
    unknown &&= byte === 0xff;
  }
  const start = at + idLength + sizeLength;
  return { id, start, sizeLength, end: unknown ? Infinity : start + size };
}

function element(id, ...content) {
  const parts = content.map((part) => (typeof part === "string" ? encoder.encode(part) : part));
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  return join(Uint8Array.from(id), writeSize(size, size < 0x7f ? 1 : 8), ...parts);
}

function writeSize(size, length) {
  const bytes = new Uint8Array(length);
  for (let i = length - 1; i >= 0; i--, size = Math.floor(size / 256)) bytes[i] = size % 256;
  bytes[0] |= 0x100 >> length;
  return bytes;
}
