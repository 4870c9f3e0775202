/** The page's end of the worker. */

import { UserError } from "./files.js";

/** A worker that does tasks; each can be followed and stopped. */
export class Client {
  /** @param {URL} base the folder of the site @param {string} [engine] "wasm" leaves out the GPU */
  constructor(base, engine = "") {
    this.tasks = new Map();
    this.last = 0;
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => this.receive(data));
    this.worker.addEventListener("error", (event) => this.fail(event.message));
    const config = new URL("config.json", import.meta.url).href;
    this.config = this.call("start", { base: base.href, config, engine });
  }

  /**
   * @param {string} task a method of `Studio`
   * @param {Object} [options]
   * @param {{progress?: (fraction: number, text: string) => void, signal?: AbortSignal,
   *   transfer?: Transferable[]}} [more]
   * @returns {Promise<any>} rejected with an error named "Stopped" if it was stopped
   */
  call(task, options = {}, { progress, signal, transfer = [] } = {}) {
    const id = ++this.last;
    return new Promise((resolve, reject) => {
      this.tasks.set(id, { resolve, reject, progress });
      signal?.addEventListener("abort", () => this.worker.postMessage({ cancel: id }));
      this.worker.postMessage({ id, task, options }, transfer);
      if (signal?.aborted) this.worker.postMessage({ cancel: id });
    });
  }

  receive({ id, result, error, progress, text }) {
    const task = this.tasks.get(id);
    if (!task) return;
    if (text) {
      task.progress?.(progress, text);
      return;
    }
    this.tasks.delete(id);
    if (!error) task.resolve(result);
    else task.reject(Object.assign(new Error(error.message), { name: error.name }));
  }

  fail(message) {
    const error = new UserError(message || "The drawing engine cannot start in this browser.");
    for (const { reject } of this.tasks.values()) reject(error);
    this.tasks.clear();
  }
}
