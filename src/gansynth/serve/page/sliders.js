// Sliders along directions that were measured from the model; those it doesn't follow aren't shown.

import { directions } from "./api.js";
import { onReset } from "./settings.js";

const WORDS = {
  brightness: ["Brightness", "darker", "brighter"],
  attack: ["Attack", "faster", "slower"],
  sustain: ["Sustain", "dies away", "stays"],
  noisiness: ["Noisiness", "purer", "noisier"],
};
const POLL = 2000; // ms

export class Sliders {
  // `move(positions, done)` is told of each change, `found(names)` of the sliders as [name, title].
  constructor(move, found) {
    Object.assign(this, { move, found });
    this.root = document.querySelector("#sliders");
    this.note = document.querySelector("#sliders-note");
    this.inputs = new Map();
    this.#look();
  }

  positions() {
    const all = [...this.inputs].map(([name, input]) => [name, Number(input.value)]);
    return Object.fromEntries(all.filter(([, value]) => value !== 0));
  }

  set(positions) {
    for (const [name, input] of this.inputs) input.value = positions[name] ?? 0;
  }

  // Move one as a hand would.
  push(name, value, done) {
    const input = this.inputs.get(name);
    if (!input) return;
    input.value = value;
    this.move(this.positions(), done);
  }

  async #look() {
    let found;
    try {
      found = await directions();
    } catch {
      setTimeout(() => this.#look(), 5 * POLL);
      return;
    }
    if (found.state === "measuring") {
      const percent = Math.floor(100 * found.progress);
      this.note.textContent = `Measuring which directions this model's sound follows: ${percent} %. Play meanwhile.`;
      setTimeout(() => this.#look(), POLL);
      return;
    }
    const names = found.directions.map((one) => one.name);
    const hidden = Object.keys(WORDS).filter((name) => !names.includes(name));
    this.note.textContent = found.state === "off"
      ? "Sliders are off: the server was started with --no-sliders."
      : names.length
        ? `A double click or tap resets a slider, Delete on the keyboard too.${hidden.length ? ` This model's sound doesn't follow ${hidden.join(", ")}.` : ""}`
        : "This model's sound follows no slider.";
    this.root.replaceChildren(...found.directions.map((one) => this.#slider(one)));
    this.found(names.map((name) => [name, WORDS[name]?.[0] ?? `Timbre ${name.split("-")[1]}`]));
  }

  #slider({ name, correlation, low: less, high: more }) {
    // Components bring their own words: "timbre-1" is titled "Timbre 1".
    const [title, low, high] = WORDS[name] ?? [`Timbre ${name.split("-")[1]}`, less, more];
    const label = document.createElement("label");
    label.title = `Correlation of the slider with the sound: ${correlation.toFixed(2)}`;
    const input = Object.assign(document.createElement("input"), {
      type: "range", min: -1, max: 1, step: 0.05, value: 0, ariaLabel: `${title}: ${low} to ${high}`,
    });
    input.addEventListener("input", () => this.move(this.positions(), false));
    input.addEventListener("change", () => this.move(this.positions(), true));
    onReset(input, label, () => {
      input.value = 0;
      this.move(this.positions(), true);
    });
    const ends = Object.assign(document.createElement("span"), { className: "ends" });
    ends.append(...[low, high].map((words) => Object.assign(document.createElement("span"), { textContent: words })));
    label.append(title, input, ends);
    this.inputs.set(name, input);
    return label;
  }
}
