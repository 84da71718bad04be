// Keys that are held, by whatever hand, and the voices that they hold: begun late if need be, gone
// over to each new sound, and never lost.

// ms that a key is held before its longer note is fetched: the two are alike for some 2 s.
const LONG_AFTER = 700;
const LONG = 30; // s
const SHORTEST = 60; // ms of a tap whose note came late
const AT_ONCE = 4; // voices that change together, so that a large chord doesn't wait for itself
const CHASES = 2; // such groups on their way
const HEARD = 1200; // ms of a sound that plays by itself
const USUAL = 100; // velocity

// Keys of a sound that plays by itself, and of the tune, are no player's.
const isByHand = (key) => !/^(heard|tune) /.test(key);

export class Hands {
  // `sound()` gives the sound that plays, `tuned(pitch)` the sample and shift of a key; `light(pitch, on)` and `played(pitch, layer)` are told of keys.
  constructor({ player, bank, model, sound, tuned, light, played, fail }) {
    Object.assign(this, { player, bank, model, sound, tuned, light, played, fail });
    this.held = new Map(); // key -> note
    this.latched = new Map(); // pitch -> note, while "hold" is on
    this.holding = false;
    this.chord = [60]; // keys that were last down together
    this.chases = new Set(); // Promises
    this.took = 0; // ms that voices took to change
  }

  // `channel` tells apart what is bent apart.
  press(key, pitch, velocity = USUAL, channel = "") {
    if (!this.model.pitches.includes(pitch) || this.held.has(key)) return;
    const byHand = isByHand(key);
    if (byHand && this.latched.has(pitch)) {
      this.#end(this.latched.get(pitch)); // a second touch lets a kept key go
      this.latched.delete(pitch);
      return;
    }
    if (byHand) {
      const together = this.latched.size || [...this.held.keys()].some(isByHand);
      this.chord = together ? [...new Set([...this.chord, pitch])] : [pitch];
    }
    const note = { pitch, velocity, channel, voice: null, pressed: performance.now(), lifted: null };
    this.held.set(key, note);
    this.light(pitch, true);
    this.#begin(note).catch(this.fail);
  }

  release(key) {
    const note = this.held.get(key);
    if (!note) return;
    this.held.delete(key);
    if (this.holding && isByHand(key)) this.latched.set(note.pitch, note);
    else this.#end(note);
  }

  releaseAll() {
    for (const key of [...this.held.keys()]) this.release(key);
  }

  hold(on) {
    this.holding = on;
    if (on) return;
    for (const note of this.latched.values()) this.#end(note);
    this.latched.clear();
  }

  silence() {
    this.hold(false);
    this.releaseAll();
    this.player.setPedal(false);
    this.player.setSostenuto(false);
    this.player.silence();
  }

  // Play the last chord by itself: until `unhear`, or for a moment. Keys that are held do better.
  hear(forAMoment = true) {
    this.unhear();
    if (this.held.size || this.latched.size || this.player.voices.size) return;
    this.chord.forEach((pitch, index) => this.press(`heard ${index}`, this.#near(pitch)));
    if (forAMoment) this.hearing = setTimeout(() => this.unhear(), HEARD);
  }

  unhear(now = true) {
    clearTimeout(this.hearing);
    if (!now) {
      this.hearing = setTimeout(() => this.unhear(), HEARD / 2);
      return;
    }
    for (const [key, note] of [...this.held]) {
      if (!key.startsWith("heard")) continue;
      this.held.delete(key);
      this.#end(note, true);
    }
  }

  // The sound has changed: all voices go over to the newest, however long they have sounded.
  follow() {
    if (this.chases.size === CHASES) return;
    const chase = this.#chase().catch(this.fail).finally(() => this.chases.delete(chase));
    this.chases.add(chase);
  }

  // Until another change of the sound could be heard.
  async ready() {
    if (this.chases.size === CHASES) await Promise.race(this.chases);
  }

  #near(pitch) {
    const far = (one) => Math.abs(one - pitch);
    return this.model.pitches.reduce((best, one) => (far(one) < far(best) ? one : best));
  }

  async #begin(note) {
    const { latent } = this.sound();
    const layer = this.bank.layer(note.velocity);
    const sample = this.tuned(note.pitch);
    // No waiting for what is here: a promise would cost a frame.
    let { buffer, shift, whole } = this.bank.nearest(latent, sample.pitch, note.velocity)
      ?? { buffer: null, shift: 0, whole: !this.bank.isBetween(note.velocity) };
    if (!buffer || !this.player.running) {
      const others = [...this.held.values()].filter((one) => !one.voice && one !== note);
      const also = others.map((one) => this.tuned(one.pitch).pitch);
      [buffer] = await Promise.all([
        buffer ?? this.bank.note(latent, sample.pitch, layer, also.slice(0, AT_ONCE)), this.player.wake(),
      ]);
    }
    const how = { shift: shift + sample.shift, channel: note.channel };
    note.voice = this.player.start(buffer, note.pitch, note.velocity, how);
    note.begun = performance.now();
    Object.assign(note.voice, { latent, wanted: latent, layer, sample, changed: 0 });
    this.played(note.pitch, layer);
    if (note.lifted !== null) {
      this.#stop(note);
      return;
    }
    this.#later(note.voice);
    if (!whole) {
      note.voice.half = buffer === this.bank.have(latent, sample.pitch, layer);
      if (!note.voice.half) note.voice.wanted = null; // another's
    }
    if (this.#isStale(note.voice)) this.follow();
  }

  #end(note, atOnce = false) {
    note.lifted = performance.now();
    this.light(note.pitch, false);
    if (note.voice) this.#stop(note, atOnce);
  }

  // A note that came late sounds for as long as its key was down, however short that was.
  #stop({ voice, pressed, lifted, begun }, atOnce) {
    const due = begun + Math.max(lifted - pressed, SHORTEST) - performance.now();
    if (due > 0 && !atOnce) setTimeout(() => this.player.stop(voice), due);
    else this.player.stop(voice);
  }

  // A few voices, those that have waited longest first, go over to the newest sound; and again, until
  // all have it. Two of these run half a round apart: while one is on its way, the other is made.
  async #chase() {
    if (this.chases.size) await new Promise((next) => setTimeout(next, this.took / 2));
    for (;;) {
      const { latent } = this.sound();
      const stale = [...this.player.voices].filter((voice) => this.#isStale(voice))
        .sort((a, b) => (a.wanted === latent) - (b.wanted === latent) || a.changed - b.changed).slice(0, AT_ONCE);
      if (!stale.length) return;
      const began = performance.now();
      const also = stale.map((voice) => voice.sample.pitch);
      await Promise.all(stale.map((voice) => this.#change(voice, latent, began, also)));
      this.took = performance.now() - began;
    }
  }

  // Whether a voice has yet to go over to the newest sound, or to all of it. The piano roll's have no
  // sample: they keep their own sounds.
  #isStale(voice) {
    return Boolean(voice.sample) && (voice.wanted !== this.sound().latent || voice.half);
  }

  // Between two layers the nearer one comes first, so that changes are as fast as with one; once the
  // sound stays, the other joins.
  async #change(voice, latent, began, also) {
    const { sample: { pitch }, velocity } = voice;
    const first = voice.wanted !== latent && this.bank.isBetween(velocity);
    voice.wanted = latent;
    voice.half = false; // while it is on its way
    voice.changed = began;
    let buffer;
    try {
      buffer = await (first
        ? this.bank.note(latent, pitch, voice.layer, also)
        : this.bank.struck(latent, pitch, velocity, also));
    } catch (error) {
      if (voice.wanted === latent) voice.wanted = null; // the next change tries again
      throw error;
    }
    if (began < (voice.since ?? 0)) return; // a newer sound was faster
    voice.since = began;
    voice.half = first && voice.wanted === latent;
    this.player.replace(voice, buffer, voice.sample.shift);
    voice.latent = latent;
    this.#later(voice);
    this.played(voice.pitch, voice.layer);
  }

  // A voice that goes on is given a longer note, beyond what the model makes of a held one.
  #later(voice) {
    clearTimeout(voice.lengthening);
    const { longest_seconds: longest, hold_seconds: hold } = this.model;
    if (!this.player.canHold || longest <= hold) return;
    voice.lengthening = setTimeout(async () => {
      if (!this.player.voices.has(voice) || this.player.isLong(voice.buffer)) return;
      const { latent } = voice;
      try {
        const buffer = await this.bank.long(latent, voice.sample.pitch, voice.velocity, LONG);
        if (voice.latent === latent) this.player.replace(voice, buffer, voice.sample.shift);
      } catch (error) {
        this.fail(error);
      }
    }, LONG_AFTER);
  }
}
