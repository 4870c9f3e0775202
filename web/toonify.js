/**
 * Toonify for other pages of the same origin.
 *
 *     import { openToonify } from "./toonify/toonify.js";
 *     const toonify = await openToonify();
 *     const png = await toonify.draw(file, { style: "comic" });
 */

import { Client } from "./{{APP}}/client.js";

const DEFAULTS = {
  strength: 1, background: "keep", color: [255, 255, 255], sticker: false, format: "png",
};

/**
 * Starts a worker that draws.
 *
 * @returns {Promise<{styles: Array<{name: string, title: string}>,
 *   draw: (photo: Blob, options?: Object) => Promise<Blob>, close: () => void}>}
 *   draw: options are style, strength (0 to 1), background ("keep", "soften", "plain" or
 *   "transparent"), color ([red, green, blue]), sticker, format ("png" or "webp"), progress and
 *   signal
 */
export async function openToonify() {
  const client = new Client(new URL("./", import.meta.url));
  const { styles, defaultStyle } = await client.config;
  return {
    styles: styles.map(({ name, title }) => ({ name, title })),
    async draw(photo, { progress, signal, ...options } = {}) {
      const wanted = { style: defaultStyle, ...DEFAULTS, ...options };
      const opened = await client.call("open", { blob: photo });
      opened.image.close();
      const drawn = await client.call("draw", wanted, { progress, signal });
      drawn.image.close();
      return (await client.call("encode", { format: wanted.format })).blob;
    },
    close() {
      client.worker.terminate();
    },
  };
}
