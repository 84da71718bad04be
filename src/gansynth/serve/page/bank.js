// Notes of the last sounds, fetched around the key that was played last.

import { noteBytes } from "./api.js";
import { blend, levelOf, mix } from "./blend.js";

const MOST = 600; // notes kept; some 700 KB each
const AT_ONCE = 4; // of the six connections that browsers open; the others are for keys that are played
const OCTAVE = 6; // semitones to either side
const USUAL = 100; // velocity, of keys that can't tell how hard they are struck

const key = (pitch, layer) => `${pitch} ${layer ?? ""}`;

export class Bank {
  constructor(player, pitches, velocities) {
    Object.assign(this, { player, pitches, velocities });
    this.usual = this.layer(USUAL);
    this.played = new Set([this.usual]); // layers
    this.sounds = new Map(); // latent -> Map of "pitch layer" -> AudioBuffer
    this.count = 0;
    this.asked = new Map(); // "latent pitch layer seconds" -> Promise of AudioBuffer
    this.onready = () => {};
    this.onerror = () => {};
  }

  // The velocity nearest to one among those that the model knows; null if it knows none.
  layer(velocity) {
    return blend(velocity, this.velocities)[0].layer;
  }

  // Whether a velocity lies between two of them.
  isBetween(velocity) {
    return blend(velocity, this.velocities).length > 1;
  }

  // The note of a layer if it is here.
  have(latent, pitch, layer) {
    return this.sounds.get(latent)?.get(key(pitch, layer));
  }

  // What can sound at once for a note, and how many semitones it must be moved: the note (`whole`), or
  // else at another velocity, the nearest first, or else a near key.
  nearest(latent, pitch, velocity) {
    const parts = blend(velocity, this.velocities);
    const here = parts.map(({ layer }) => this.have(latent, pitch, layer));
    if (here.every(Boolean)) return { buffer: this.#mixed(here, parts), shift: 0, whole: true };
    const near = parts.map((one) => one.layer);
    const layers = [...near, ...this.velocities.filter((one) => !near.includes(one))];
    for (const shift of [0, 1, -1, 2, -2]) {
      for (const one of layers) {
        const buffer = this.have(latent, pitch - shift, one);
        if (buffer) return { buffer, shift, whole: false };
      }
    }
    return null;
  }

  // The note of a layer, made if need be, before all that is fetched ahead; `also` are pitches wanted
  // besides.
  async note(latent, pitch, layer, also) {
    this.played.add(layer);
    return this.have(latent, pitch, layer) ?? this.#fetch(latent, pitch, { velocity: layer, also });
  }

  // The note at any velocity: two layers, mixed, where it lies between them.
  async struck(latent, pitch, velocity, also) {
    const parts = blend(velocity, this.velocities);
    return this.#mixed(await Promise.all(parts.map(({ layer }) => this.note(latent, pitch, layer, also))), parts);
  }

  // The same, held for longer.
  async long(latent, pitch, velocity, seconds) {
    const parts = blend(velocity, this.velocities);
    const longer = parts.map(({ layer }) => this.#fetch(latent, pitch, { velocity: layer, seconds }));
    if (parts.length === 1) return longer[0];
    const [found, short] = await Promise.all([
      Promise.all(longer), Promise.all(parts.map(({ layer }) => this.note(latent, pitch, layer))),
    ]);
    return this.#mixed(found, parts, short);
  }

  // Which pitches of a sound are here.
  ready(latent) {
    const notes = this.sounds.get(latent);
    return new Set(this.pitches.filter((pitch) => notes?.has(key(pitch, this.usual))));
  }

  // Fetch the whole keyboard, the octave around a pitch first, then what harder and softer strokes need
  // that were played before; an earlier sound's fetching ends.
  async fill(latent, centre) {
    this.stop();
    const controller = (this.filling = new AbortController());
    const { signal } = controller;
    this.#open(latent);
    this.onready(latent);
    // Every third key first, which the keys beside it can sound with until their own is here.
    const rank = (pitch) => {
      const far = Math.abs(pitch - centre);
      return [far > OCTAVE, far % 3 > 0, far];
    };
    const near = [...this.pitches].sort((a, b) => {
      const [one, other] = [rank(a), rank(b)];
      const first = one.findIndex((value, i) => value !== other[i]);
      return first < 0 ? 0 : one[first] - other[first];
    });
    const take = async (layer, missing) => {
      while (missing.length && !signal.aborted) {
        const pitch = missing.shift();
        if (!this.have(latent, pitch, layer)) {
          await this.#fetch(latent, pitch, { velocity: layer, ahead: true, signal });
        }
      }
    };
    try {
      for (const layer of [this.usual, ...[...this.played].filter((one) => one !== this.usual)]) {
        const missing = near.filter((pitch) => !this.have(latent, pitch, layer));
        await Promise.all(Array.from({ length: AT_ONCE }, () => take(layer, missing)));
      }
    } catch (error) {
      if (!signal.aborted) {
        controller.abort();
        this.onerror(error);
      }
    }
  }

  // Fetch nothing ahead any more.
  stop() {
    this.filling?.abort();
  }

  // Not kept: a key could have one for each velocity.
  #mixed(buffers, parts, short = buffers) {
    if (parts.length === 1) return buffers[0];
    const gains = parts.map((one) => one.gain);
    return mix(buffers, gains, levelOf(short, gains));
  }

  #open(latent) {
    const notes = this.sounds.get(latent) ?? new Map();
    this.sounds.delete(latent); // to the end: the last used stays longest
    this.sounds.set(latent, notes);
    return notes;
  }

  #keep(latent, name, buffer) {
    const notes = this.#open(latent);
    this.count += notes.has(name) ? 0 : 1;
    notes.set(name, buffer);
    while (this.count > MOST && this.sounds.size > 1) {
      const [oldest, dropped] = this.sounds.entries().next().value;
      this.sounds.delete(oldest);
      this.count -= dropped.size;
    }
    this.onready(latent);
  }

  #fetch(latent, pitch, options) {
    // What is fetched ahead may be given up, so nobody else waits for it.
    const name = key(pitch, options.velocity);
    const asked = options.ahead ? null : `${latent} ${name} ${options.seconds ?? ""}`;
    if (asked && this.asked.has(asked)) return this.asked.get(asked);
    const buffer = noteBytes(latent, pitch, options)
      .then((bytes) => this.player.decode(bytes))
      .then((made) => {
        if (!options.seconds) this.#keep(latent, name, made);
        return made;
      })
      .finally(() => this.asked.delete(asked));
    if (asked) this.asked.set(asked, buffer);
    return buffer;
  }
}
