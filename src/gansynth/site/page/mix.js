// Notes to one clip, as gansynth.performance.mix adds them up.

import { peakOf } from "./wav.js";

const ATTACK = 0.01;
const TAIL = 3; // s
const PEAK = 0.5;

export class Mix {
  // `hold` and `release` are the seconds that notes are held at most, and fade.
  constructor({ duration, rate, hold, release }) {
    Object.assign(this, { rate, hold, release });
    this.samples = new Float32Array(Math.floor(duration + TAIL) * rate);
  }

  // A wave with its envelope, at its own peak times the velocity.
  add(wave, { start, end, velocity }) {
    const rise = Math.floor(this.rate * ATTACK);
    const fall = Math.floor(this.rate * this.release);
    const hold = Math.max(Math.floor(this.rate * Math.min(end - start, this.hold)), rise);
    const sound = wave.slice(0, hold + fall);
    for (let i = 0; i < Math.min(rise, sound.length); i += 1) sound[i] *= i / (rise - 1);
    for (let i = hold; i < sound.length; i += 1) sound[i] *= 1 - (i - hold) / (fall - 1);
    const level = velocity / 127 / (peakOf(sound) || Infinity);
    const first = Math.floor(start * this.rate);
    const last = Math.min(sound.length, this.samples.length - first);
    for (let i = 0; i < last; i += 1) this.samples[first + i] += level * sound[i];
  }

  // What brings the clip to its peak.
  get level() {
    return PEAK / (peakOf(this.samples) || Infinity);
  }
}
