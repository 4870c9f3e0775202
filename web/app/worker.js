/**
 * The worker: does one task after the other, so that the page stays smooth.
 *
 * The page posts {id, task, options} or {cancel: id}; the worker posts {id, progress, text}, and in
 * the end {id, result} or {id, error}.
 */

import { fetchJson } from "./files.js";
import { Runtime } from "./runtime.js";
import { Studio } from "./studio.js";

/** Thrown where a task is stopped. */
class Stopped extends Error {
  name = "Stopped";
}

const cancelled = new Set();
let studio = null;
let queue = Promise.resolve();

self.addEventListener("message", ({ data }) => {
  if ("cancel" in data) cancelled.add(data.cancel);
  else queue = queue.then(() => perform(data));
});

async function perform({ id, task, options }) {
  const report = (progress, text) => self.postMessage({ id, progress, text });
  const pause = async () => {
    await rest();
    if (cancelled.has(id)) throw new Stopped("Stopped.");
  };
  try {
    await pause();
    if (task === "start") return await start(id, options);
    studio.runtime.report = (text) => report(0.02, text);
    const result = await studio[task](options, { report, pause });
    self.postMessage({ id, result }, transferable(result));
  } catch (error) {
    self.postMessage({ id, error: { name: error.name, message: describe(error) } });
  } finally {
    cancelled.delete(id);
  }
}

async function start(id, { base, config, engine }) {
  const settings = await fetchJson(new URL(config, base));
  studio = new Studio(settings, new Runtime(new URL(base), settings, () => {}, engine));
  self.postMessage({ id, result: settings });
}

function describe(error) {
  if (error instanceof RangeError) {
    return "There is not enough memory. Close other tabs, or use a smaller photo.";
  }
  return error.message;
}

/** Lets messages arrive. */
function rest() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

function transferable(result) {
  return [result?.image, ...(result?.images ?? [])].filter(Boolean);
}
