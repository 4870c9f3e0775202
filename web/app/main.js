/** Starts the page: the service worker, the worker, and the tabs. */

import { Client } from "./client.js";
import { byId, showError } from "./dom.js";
import { LiveTab } from "./live.js";
import { NewFacesTab } from "./new_faces.js";
import { PhotoTab } from "./photo.js";

const BASE = new URL("../../", import.meta.url);
const TABS = ["photo", "faces", "live"];
const PATIENCE = 3000; // ms for the service worker, which keeps what is loaded

await keepFiles();
const query = new URLSearchParams(location.search);
const client = new Client(BASE, query.get("engine") ?? "");
try {
  start(await client.config);
} catch (error) {
  showError(byId("error"), error);
}

function start(config) {
  let kept = false;
  new PhotoTab(client, config, BASE, () => {
    // What was not needed yet is kept too, so that all of it works offline.
    if (!kept) navigator.serviceWorker?.controller?.postMessage("keep all");
    kept = true;
  });
  const faces = new NewFacesTab(client, config);
  const live = new LiveTab(client, config);
  const shown = connectTabs((name) => {
    if (name === "faces" && byId("faces-download").disabled) faces.draw();
    if (name !== "live" && live.running) live.stop();
  });
  shown(TABS.includes(query.get("tab")) ? query.get("tab") : "photo");
  document.documentElement.dataset.ready = "true";
  client.call("warm", { style: config.defaultStyle }).catch(() => {}); // said when it is drawn
}

/** Makes the tabs follow clicks and arrow keys. @returns {(name: string) => void} opens a tab */
function connectTabs(opened) {
  const open = (name) => {
    for (const each of TABS) {
      const tab = byId(`tab-${each}`);
      tab.setAttribute("aria-selected", String(each === name));
      tab.tabIndex = each === name ? 0 : -1;
      byId(each).hidden = each !== name;
    }
    opened(name);
  };
  TABS.forEach((name, i) => {
    const tab = byId(`tab-${name}`);
    tab.addEventListener("click", () => open(name));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = TABS[(i + step + TABS.length) % TABS.length];
      open(next);
      byId(`tab-${next}`).focus();
    });
  });
  return open;
}

/** Lets the service worker keep the files of the page, where the browser has one. */
async function keepFiles() {
  if (!navigator.serviceWorker || !isSecureContext) return;
  navigator.serviceWorker.addEventListener("message", ({ data }) => {
    if (data === "kept") byId("offline").textContent = "· Works offline now";
  });
  try {
    await navigator.serviceWorker.register(new URL("sw.js", BASE), { scope: BASE.pathname });
    await Promise.race([controlled(), new Promise((resolve) => setTimeout(resolve, PATIENCE))]);
  } catch (error) {
    console.info(`The page works, but not offline: ${error.message}`);
  }
}

function controlled() {
  if (navigator.serviceWorker.controller) return Promise.resolve();
  return new Promise((resolve) => {
    navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true });
  });
}
