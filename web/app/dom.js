/** Small things that every tab does with the page. */

/** @param {string} id @returns {HTMLElement} the element of the page */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Makes an element.
 *
 * @param {string} name
 * @param {Object} [properties]
 * @param {Array<Node|string>} [children]
 * @returns {HTMLElement}
 */
export function make(name, properties = {}, children = []) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** Shows a bitmap on a canvas, which gets its size. */
export function paint(canvas, bitmap) {
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

/** Offers a file for download. */
export function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The suffix of a file of a type. @param {Blob} blob @returns {string} such as ".png" */
export function suffix(blob) {
  return `.${blob.type.split(";")[0].split("/")[1]}`;
}

/**
 * Shows an error where a tab has room for it; what was stopped is none.
 *
 * @param {HTMLElement} place
 * @param {Error|null} error null takes the last one away
 */
export function showError(place, error) {
  if (error?.name === "Stopped") return;
  place.textContent = error?.message ?? "";
}

const CAMERA_ERRORS = {
  NotAllowedError: "Camera access was denied. Allow it in the address bar and try again.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera is in use by another program.",
};

/**
 * Starts the camera.
 *
 * @param {HTMLVideoElement} video where it is seen
 * @param {number} width that is asked for, in px
 * @returns {Promise<MediaStream>}
 */
export async function openCamera(video, width) {
  if (!navigator.mediaDevices) throw new Error("Browsers give the camera to pages on HTTPS only.");
  try {
    const wanted = { width: { ideal: width }, facingMode: "user" };
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: wanted });
  } catch (error) {
    throw new Error(CAMERA_ERRORS[error.name] ?? `The camera cannot be used (${error.message}).`);
  }
  await video.play();
  return video.srcObject;
}

/** Lets the camera go. */
export function closeCamera(video) {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}
