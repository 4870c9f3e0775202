/**
 * The service worker: keeps the files of the page, so that it works offline, and answers with the
 * headers that a static host does not send. Requests to other origins are refused.
 */

const { shell, rest, version } = /* {{FILES}} */ { shell: [], rest: [], version: "" };
const CACHE = `toonify-${version}`;
const HEADERS = {
  "Content-Security-Policy": "{{CSP}}",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "cross-origin",
};
const here = (path) => new URL(path, self.registration.scope).href;

self.addEventListener("install", (event) => {
  event.waitUntil(keep(shell));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(discard().then(() => self.clients.claim()));
});

self.addEventListener("message", (event) => {
  if (event.data === "keep all") {
    event.waitUntil(keep(rest).then(() => event.source.postMessage("kept"), () => {}));
  }
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (new URL(request.url).origin !== self.location.origin) {
    event.respondWith(Response.error());
  } else if (request.method === "GET" && request.url.startsWith(self.registration.scope)) {
    event.respondWith(answer(request));
  }
});

/** Puts files into the cache that are not there yet. */
async function keep(paths) {
  const cache = await caches.open(CACHE);
  for (const path of paths) {
    if (!(await cache.match(here(path)))) await cache.add(here(path));
  }
}

/** Takes over what has not changed from older versions, and removes these. */
async function discard() {
  const wanted = new Set([...shell, ...rest].map(here));
  const cache = await caches.open(CACHE);
  for (const name of await caches.keys()) {
    if (!name.startsWith("toonify-") || name === CACHE) continue;
    const old = await caches.open(name);
    for (const request of await old.keys()) {
      const isHashed = /\.[0-9a-f]{8,}(\/|\.)/.test(request.url);
      if (isHashed && wanted.has(request.url) && !(await cache.match(request))) {
        await cache.put(request, await old.match(request));
      }
    }
    await caches.delete(name);
  }
}

/** The file from the cache, else from the host. */
async function answer(request) {
  const cache = await caches.open(CACHE);
  const page = request.mode === "navigate";
  const key = page ? here("./") : request.url;
  let found = await cache.match(key, { ignoreSearch: page });
  if (!found) {
    found = await fetch(request);
    const known = [...shell, ...rest].some((path) => here(path) === request.url);
    if (found.ok && known) await cache.put(request, found.clone());
  }
  return withHeaders(found);
}

function withHeaders(found) {
  if (found.type === "opaque" || found.type === "error" || found.redirected) return found;
  const headers = new Headers(found.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}
