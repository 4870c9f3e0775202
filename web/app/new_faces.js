/** The New faces tab: faces of nobody, from seeds and attributes. */

import { byId, download, make, paint, showError, suffix } from "./dom.js";

const COUNT = 8;
const MAX_SEED = 999_999_999;
const ANY = -1;

/** The tab. */
export class NewFacesTab {
  /** @param {import("./client.js").Client} client @param {Object} config config.json */
  constructor(client, config) {
    Object.assign(this, { client, about: config.faces });
    this.picked = 0; // of the crowd
    this.waiting = false;
    byId("faces-about").textContent = `${this.about.description} ${this.about.license}.`;
    this.addAttributes();
    byId("faces-random").addEventListener("click", () => {
      byId("seed").value = Math.floor(Math.random() * MAX_SEED);
      this.pick(0);
    });
    byId("seed").addEventListener("change", () => this.pick(0));
    byId("truncation").addEventListener("input", ({ target }) => {
      byId("truncation-value").textContent = `${Math.round(100 * target.value)} %`;
      this.draw();
    });
    byId("faces-download").addEventListener("click", () => this.save());
    this.crowd = Array.from({ length: COUNT }, (_, i) => {
      const canvas = make("canvas");
      const button = make("button", {}, [canvas]);
      button.addEventListener("click", () => this.pick(i));
      byId("crowd").append(button);
      return { button, canvas };
    });
  }

  addAttributes() {
    this.selects = Object.entries(this.about.attributes).map(([name, { label, values, hidden }]) => {
      const options = values.map((text, i) => make("option", { value: i, textContent: text }));
      const any = make("option", { value: ANY, textContent: "Any" });
      const select = make("select", { id: `attribute-${name}` }, [any, ...options]);
      select.addEventListener("change", () => this.draw());
      const text = make("label", { htmlFor: select.id, textContent: label });
      if (!hidden) byId("attributes").append(make("div", {}, [text, select]));
      return select;
    });
  }

  get seed() {
    const seed = Math.trunc(Number(byId("seed").value));
    return Math.min(Math.max(seed || 0, 0), MAX_SEED);
  }

  get options() {
    const classes = this.selects.map((select) => Number(select.value));
    return {
      seed: this.seed,
      count: COUNT,
      truncation: Number(byId("truncation").value),
      classes: classes.length ? classes : [ANY],
    };
  }

  pick(i) {
    this.picked = i;
    this.draw();
  }

  /** Draws the faces; what changes meanwhile is drawn after that. */
  async draw() {
    if (this.waiting) {
      this.again = true;
      return;
    }
    this.waiting = true;
    showError(byId("faces-error"), null);
    byId("faces-report").textContent ||= "Loading";
    try {
      this.show(await this.client.call("generate", this.options));
    } catch (error) {
      byId("faces-report").textContent = "";
      showError(byId("faces-error"), error);
    }
    this.waiting = false;
    if (this.again) {
      this.again = false;
      this.draw();
    }
  }

  show({ images, classes }) {
    this.crowd.forEach(({ button, canvas }, i) => {
      paint(canvas, images[i]);
      button.setAttribute("aria-label", `Face ${this.seed + i}`);
      button.setAttribute("aria-pressed", String(i === this.picked));
    });
    paint(byId("face"), images[this.picked]);
    const own = Object.values(this.about.attributes).flatMap(({ label, values, hidden }, i) =>
      hidden ? [] : [`${label}: ${values[classes[this.picked][i]]}`]);
    byId("faces-report").textContent = [`Face ${this.seed + this.picked}`, ...own].join(" · ");
    byId("faces-download").disabled = false;
  }

  async save() {
    try {
      const seed = this.seed + this.picked;
      const options = { ...this.options, seed, count: 1, format: "png" };
      const { blob } = await this.client.call("generate", options);
      download(blob, `face-${seed}${suffix(blob)}`);
    } catch (error) {
      showError(byId("faces-error"), error);
    }
  }
}
