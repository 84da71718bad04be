// The model on a graphics processor, beside WebAssembly: used once it has made the same notes sooner,
// and left for good when it fails.

import { peakOf } from "./wav.js";

const SAME = -40; // dB: what notes may differ by
const SOONER = 0.8; // of WebAssembly's time
const UNTIMED = 2; // first notes: programs of the processor are compiled
const TIMED = 5;
const TOO_LONG = 4; // times WebAssembly's time; all but the first note end the trial
const OPENING = 120_000; // ms until it gives up
const WORSE = 1; // times WebAssembly's time: it is left again
const HANGING = 20; // times WebAssembly's time, and at least 2 s

export const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

const ms = (time) => `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;

// The energy of a difference against that of what it should be, in dB.
function difference(found, wanted) {
  let [error, energy] = [1e-12, 1e-12];
  for (let i = 0; i < wanted.length; i += 1) {
    error += (found[i] - wanted[i]) ** 2;
    energy += wanted[i] ** 2;
  }
  return 10 * Math.log10(error / energy);
}

export class Graphics {
  // `tell(words)` is told which of the two makes notes from now on, and why.
  constructor(tell) {
    Object.assign(this, { tell, used: false, took: [], wait: null });
    this.worker = new Worker(new URL("./webgpu-worker.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => {
      if (data.lost) this.leave(`the graphics processor was lost (${data.lost})`);
      else if (data.error) this.wait?.reject(new Error(data.error));
      else this.wait?.resolve(data.result);
    });
    this.worker.addEventListener("error", ({ message }) => this.leave(message || "it can't start"));
  }

  // Whether it shall be used, by notes `{ latent, pitch, velocity, wave }` that WebAssembly made in
  // `slow` ms each. `opening` is { model, controlled, software }.
  async compare(opening, made, slow) {
    try {
      this.slow = slow;
      const name = await this.#ask({ open: opening }, OPENING);
      for (let i = 0; i < UNTIMED + TIMED; i += 1) {
        const { wave, ...note } = made[i % made.length];
        const [found, time] = await this.#timed(note, OPENING);
        const apart = difference(found, wave);
        if (!(apart <= SAME)) throw new Error(`its notes differ by ${apart.toFixed(0)} dB`); // NaN too
        if (i > 0 && time > TOO_LONG * slow) throw new Error(`it takes ${ms(time)} a note, WebAssembly ${ms(slow)}`);
        if (i >= UNTIMED) this.took.push(time);
      }
      const quick = median(this.took);
      if (quick > SOONER * slow) throw new Error(`it takes ${ms(quick)} a note, WebAssembly ${ms(slow)}`);
      this.used = true;
      this.tell(`WebGPU (${name}): ${ms(quick)} a note, WebAssembly ${ms(slow)}`);
    } catch (error) {
      this.leave(error.message);
    }
  }

  // The wave of a note: its own, or what `otherwise(note)` makes.
  async make(note, otherwise) {
    const wave = this.used ? await this.#own(note) : null;
    if (wave && Number.isFinite(peakOf(wave))) return wave;
    const other = await otherwise(note);
    if (wave && Number.isFinite(peakOf(other))) this.leave("its notes aren't finite");
    return other;
  }

  async #own(note) {
    try {
      const [wave, time] = await this.#timed(note, Math.max(HANGING * this.slow, 2000));
      this.took = [...this.took.slice(1 - TIMED), time];
      const usual = median(this.took);
      if (usual > WORSE * this.slow) this.leave(`it takes ${ms(usual)} a note now, WebAssembly ${ms(this.slow)}`);
      return wave;
    } catch (error) {
      this.leave(error.message);
      return null;
    }
  }

  // Never to be used again.
  leave(words) {
    if (this.left) return;
    Object.assign(this, { left: true, used: false });
    this.worker.terminate();
    this.wait?.reject(new Error(words));
    this.tell(`WebAssembly; WebGPU isn't used: ${words}`);
  }

  async #timed(note, patience) {
    const begun = performance.now();
    return [await this.#ask({ note }, patience), performance.now() - begun];
  }

  #ask(message, patience) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`it doesn't answer within ${Math.round(patience / 1000)} s`)), patience);
      const ended = (settle) => (value) => {
        clearTimeout(late);
        settle(value);
      };
      this.wait = { resolve: ended(resolve), reject: ended(reject) };
      if (this.left) this.wait.reject(new Error("it was left"));
      else this.worker.postMessage(message);
    });
  }
}
