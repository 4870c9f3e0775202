/** A photo and its drawing, with a line between them that follows the pointer. */

import { make, paint } from "./dom.js";

/** The slider in an element. */
export class Compare {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
    this.after = make("canvas", { className: "after" });
    this.before = make("canvas", { className: "before" });
    this.slider = make("input", { type: "range", min: "0", max: "100", value: "0", step: "1" });
    this.slider.setAttribute("aria-label", "How much of the original is shown");
    this.slider.addEventListener("input", () => this.follow());
    place.append(this.after, this.before, make("div", { className: "line" }), this.slider);
    this.follow();
  }

  follow() {
    this.place.style.setProperty("--split", `${this.slider.value}%`);
  }

  /** @param {ImageBitmap} photo */
  showPhoto(photo) {
    this.fit(photo);
    paint(this.before, photo);
    paint(this.after, photo);
    this.reveal(true);
  }

  /** @param {ImageBitmap} toon @param {boolean} compares whether it lies over the photo */
  showToon(toon, compares) {
    this.fit(toon);
    paint(this.after, toon);
    this.after.setAttribute("role", "img");
    this.after.setAttribute("aria-label", "The drawing");
    this.reveal(compares);
  }

  /** Leaves room for the buttons below a high image. */
  fit({ width, height }) {
    this.place.style.setProperty("--ratio", width / height);
  }

  reveal(compares) {
    this.place.hidden = false;
    this.place.classList.toggle("alone", !compares);
  }
}
