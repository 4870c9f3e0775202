/**
 * Opens and runs the networks by ONNX Runtime Web: on the GPU where there is WebGPU, else by
 * WebAssembly, with threads where the page is isolated from other origins.
 */

import { UserError, fetchBytes } from "./files.js";

const MAX_THREADS = 4; // more gain nothing for networks of this size

/** ONNX Runtime, and the networks that it has opened. */
export class Runtime {
  /**
   * @param {URL} base the folder of the site
   * @param {Object} config config.json
   * @param {(text: string) => void} report says what is being loaded
   * @param {string} [wanted] "wasm" leaves out the GPU
   */
  constructor(base, config, report, wanted = "") {
    Object.assign(this, { base, config, report, wanted });
    this.sessions = new Map();
    this.ready = null;
    this.provider = "";
  }

  /** Loads ONNX Runtime, once. @returns {Promise<Object>} its module */
  load() {
    this.ready ??= this.open(this.wanted === "wasm" ? false : hasGpu());
    this.ready.catch(() => (this.ready = null)); // the next call tries again
    return this.ready;
  }

  async open(gpu) {
    if (typeof WebAssembly !== "object") {
      throw new UserError("This browser has no WebAssembly, which the drawing needs.");
    }
    const files = this.config.runtime;
    const useGpu = (await gpu) && Boolean(files.webgpu);
    const chosen = useGpu ? files.webgpu : files.wasm;
    this.report("Loading the drawing engine");
    const ort = await import(new URL(chosen.ort, this.base).href);
    ort.env.wasm.wasmPaths = {
      mjs: new URL(chosen.mjs, this.base).href,
      wasm: new URL(chosen.wasm, this.base).href,
    };
    this.threads = self.crossOriginIsolated
      ? Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1) : 1;
    ort.env.wasm.numThreads = this.threads;
    ort.env.logLevel = "error";
    this.provider = useGpu ? "webgpu" : "wasm";
    return ort;
  }

  /**
   * Opens a network, once.
   *
   * @param {string} file its path in the site
   * @returns {Promise<Object>} an InferenceSession
   */
  session(file) {
    if (!this.sessions.has(file)) {
      const opened = this.create(file);
      opened.catch(() => this.sessions.delete(file));
      this.sessions.set(file, opened);
    }
    return this.sessions.get(file);
  }

  async create(file) {
    const ort = await this.load();
    const bytes = await fetchBytes(new URL(file, this.base));
    // The small networks of the detector wait longer for a GPU than they take without.
    const small = Object.values(this.config.detector).includes(file);
    const providers = this.provider === "webgpu" && !small ? ["webgpu", "wasm"] : ["wasm"];
    try {
      return await ort.InferenceSession.create(bytes, {
        executionProviders: providers,
        graphOptimizationLevel: "all",
      });
    } catch (error) {
      throw explain(error);
    }
  }

  /**
   * Runs a network.
   *
   * @param {string} file its path in the site
   * @param {Object<string, [string, ArrayBufferView, number[]]>} inputs name -> type, data, shape
   * @returns {Promise<Object<string, ArrayBufferView>>} the data of the outputs by name
   */
  async run(file, inputs) {
    const [ort, session] = [await this.load(), await this.session(file)];
    const feeds = Object.fromEntries(
      Object.entries(inputs).map(([name, parts]) => [name, new ort.Tensor(...parts)]),
    );
    try {
      const outputs = await session.run(feeds);
      return Object.fromEntries(
        Object.entries(outputs).map(([name, tensor]) => [name, tensor.data]),
      );
    } catch (error) {
      throw explain(error);
    }
  }

  /** Says on what the networks run. @returns {string} such as "WASM, 2 threads" */
  describe() {
    if (this.provider === "webgpu") return "WebGPU";
    return `WASM, ${this.threads} thread${this.threads === 1 ? "" : "s"}`;
  }
}

/** Whether there is a GPU; one that the processor imitates is slower than WebAssembly. */
async function hasGpu() {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
  } catch {
    return false;
  }
}

/** An error that people understand, for those of WebAssembly that say nothing. */
function explain(error) {
  const text = String(error?.message ?? error);
  if (error instanceof RangeError || /memory|alloc|abort\(/i.test(text)) {
    return new UserError("There is not enough memory. Close other tabs, or use a smaller photo.");
  }
  if (/simd|CompileError|no available backend/i.test(text)) {
    return new UserError(`This browser cannot run the drawing engine (${text.slice(0, 120)}).`);
  }
  return error;
}
