// A tune to hear a sound with at once: Bach, Prelude in C, BWV 846, the first bars and a last chord.

const SIXTEENTH = 215; // ms
// Of each bar the five notes that its figure walks through, twice.
const BARS = [
  [60, 64, 67, 72, 76], [60, 62, 69, 74, 77], [59, 62, 67, 74, 77], [60, 64, 67, 72, 76],
  [60, 64, 69, 76, 81], [60, 62, 66, 69, 74], [59, 62, 67, 74, 79], [59, 60, 64, 67, 72],
];
const END = [48, 60, 64, 67, 72];
const FIGURE = [0, 1, 2, 3, 4, 2, 3, 4]; // notes of a half bar; the first two stay down
const AHEAD = 5; // notes that are here before it begins

// The notes as [sixteenth, pitch, sixteenths, velocity].
function notes() {
  const all = [];
  BARS.forEach((bar, number) => {
    for (const half of [0, 8]) {
      FIGURE.forEach((which, step) => {
        const length = step === 0 ? 8 : step === 1 ? 7 : 1.4;
        all.push([16 * number + half + step, bar[which], length, step === 0 ? 96 : 100 - 4 * (step % 4)]);
      });
    }
  });
  END.forEach((pitch, i) => all.push([16 * BARS.length + i * 0.4, pitch, 12, 100]));
  return all;
}

export class Tune {
  // `hands` play it; `fetch(pitch)` brings a note; `onchange(isPlaying)` is told of begin and end.
  constructor({ hands, pitches, fetch, onchange }) {
    Object.assign(this, { hands, pitches, fetch, onchange });
    this.timers = null;
  }

  get playing() {
    return this.timers !== null;
  }

  async play() {
    const all = notes().map(([at, pitch, ...rest]) => [at, this.#within(pitch), ...rest])
      .filter(([, pitch]) => pitch !== null);
    const mine = (this.timers = []);
    this.onchange(true);
    const first = [...new Set(all.slice(0, AHEAD).map(([, pitch]) => pitch))];
    await Promise.all(first.map(this.fetch)).catch(() => {}); // told where it is played
    if (this.timers !== mine) return;
    all.forEach(([at, pitch, length, velocity], i) => {
      const down = setTimeout(() => this.hands.press(`tune ${i}`, pitch, velocity), at * SIXTEENTH);
      const up = setTimeout(() => this.hands.release(`tune ${i}`), (at + length) * SIXTEENTH);
      mine.push(down, up);
    });
    const last = Math.max(...all.map(([at, , length]) => at + length));
    mine.push(setTimeout(() => this.stop(), last * SIXTEENTH));
  }

  stop() {
    for (const timer of this.timers ?? []) clearTimeout(timer);
    this.timers = null;
    for (const key of [...this.hands.held.keys()]) if (key.startsWith("tune")) this.hands.release(key);
    this.onchange(false);
  }

  // The same note in an octave that the model knows.
  #within(pitch) {
    const all = this.pitches.filter((one) => (one - pitch) % 12 === 0);
    const far = (one) => Math.abs(one - pitch);
    return all.length ? all.reduce((best, one) => (far(one) < far(best) ? one : best)) : null;
  }
}
