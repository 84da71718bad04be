// Notes of the last few instruments, fetched around the key that was played last.

import { noteBytes } from "./api.js";

const INSTRUMENTS = 6;
const AT_ONCE = 4; // of the six connections that browsers open; the others are for keys that are played

export class Bank {
  constructor(player, pitches) {
    this.player = player;
    this.pitches = pitches;
    this.instruments = new Map(); // latent -> Map of pitch -> AudioBuffer
    this.asked = new Map(); // "latent pitch seconds" -> Promise of AudioBuffer
    this.onready = () => {};
    this.onerror = () => {};
  }

  // The note if it is here.
  have(latent, pitch) {
    return this.instruments.get(latent)?.get(pitch);
  }

  // The note, made if need be, before all that is fetched ahead.
  async note(latent, pitch) {
    return this.have(latent, pitch) ?? this.#fetch(latent, pitch, {});
  }

  // The note held for longer.
  long(latent, pitch, seconds) {
    return this.#fetch(latent, pitch, { seconds });
  }

  // Fetch the whole keyboard, the nearest pitches first; an earlier instrument's fetching ends.
  async fill(latent, centre) {
    this.filling?.abort();
    const controller = (this.filling = new AbortController());
    const notes = this.#open(latent);
    const missing = this.pitches
      .filter((pitch) => !notes.has(pitch))
      .sort((a, b) => Math.abs(a - centre) - Math.abs(b - centre));
    this.onready(latent, notes);
    const take = async () => {
      while (missing.length && !controller.signal.aborted) {
        const pitch = missing.shift();
        if (!notes.has(pitch)) {
          await this.#fetch(latent, pitch, { ahead: true, signal: controller.signal });
        }
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, take));
    } catch (error) {
      if (!controller.signal.aborted) {
        controller.abort();
        this.onerror(error);
      }
    }
  }

  #open(latent) {
    const notes = this.instruments.get(latent) ?? new Map();
    this.instruments.delete(latent); // to the end: the last used stays longest
    this.instruments.set(latent, notes);
    if (this.instruments.size > INSTRUMENTS) {
      this.instruments.delete(this.instruments.keys().next().value);
    }
    return notes;
  }

  #fetch(latent, pitch, options) {
    // What is fetched ahead may be given up, so nobody else waits for it.
    const key = options.ahead ? null : `${latent} ${pitch} ${options.seconds ?? ""}`;
    if (key && this.asked.has(key)) return this.asked.get(key);
    const buffer = noteBytes(latent, pitch, options)
      .then((bytes) => this.player.decode(bytes))
      .then((made) => {
        if (!options.seconds) {
          const notes = this.instruments.get(latent);
          notes?.set(pitch, made);
          if (notes) this.onready(latent, notes);
        }
        return made;
      })
      .finally(() => this.asked.delete(key));
    if (key) this.asked.set(key, buffer);
    return buffer;
  }
}
