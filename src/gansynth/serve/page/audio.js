// Voices: notes as the mix of `gansynth generate` plays them, bent, tuned and with an envelope.

import { Effects } from "./effects.js";

const ATTACK = 0.01;
const CROSSFADE = 0.05;
const STEAL = 0.03;
const MOST_VOICES = 48;
const MARGIN = 1.5; // s before a voice's sound ends, when it goes back
const LATE = 0.2; // the same where the longer note hasn't come yet
const HOLDABLE = 2; // s that a model must hold its notes for them to go on
const WAKING = 1000; // ms that a note waits for sleeping audio; some machines have none
const GLIDE = 0.004; // s that a bend takes for two thirds of its way, so that it has no steps

export class Player {
  // `hold` and `note` are the seconds that the model holds a note, and that its sound has in all.
  constructor({ release, hold, note }) {
    Object.assign(this, { attack: ATTACK, release, hold, tail: note - hold });
    this.voices = new Set();
    this.bends = new Map(); // channel -> semitones
    this.pedal = false;
    // Made at once: a context waits for the first key or click before it sounds.
    this.context = new AudioContext({ latencyHint: "interactive" });
    this.context.addEventListener("statechange", () => { this.waking = null; });
    this.effects = new Effects(this.context);
    this.master = this.effects.input;
  }

  get running() {
    return this.context.state === "running";
  }

  get canHold() {
    return this.hold >= HOLDABLE;
  }

  // Browsers let audio sleep until a touch, and phones interrupt it for calls.
  wake() {
    if (this.running) return null;
    const resumed = this.context.resume().catch(() => {});
    this.waking ??= Promise.race([resumed, new Promise((next) => setTimeout(next, WAKING))]);
    return this.waking;
  }

  setVolume(share) {
    this.master.gain.setTargetAtTime(share ** 2, this.context.currentTime, 0.02);
  }

  decode(bytes) {
    return this.context.decodeAudioData(bytes);
  }

  // Begin a note of a key; velocity 1 to 127. Its buffer is moved by `shift` semitones, and by what
  // its `channel` is bent.
  start(buffer, pitch, velocity, { shift = 0, channel = "" } = {}) {
    for (const voice of this.voices) if (voice.pitch === pitch && voice.channel === channel) this.#fade(voice, STEAL);
    if (this.voices.size >= MOST_VOICES) this.#fade(this.voices.values().next().value, STEAL);
    const voice = { pitch, velocity, shift, channel, level: velocity / 127, held: true, changes: 0 };
    this.#sound(voice, buffer, 0, this.attack);
    this.voices.add(voice);
    return voice;
  }

  // Go over to another sound, from the same place in the note where it has one.
  replace(voice, buffer, shift = voice.shift) {
    if (!this.voices.has(voice)) return;
    const { gain, source } = voice;
    source.onended = null;
    this.#ramp(gain, 0, CROSSFADE);
    source.stop(this.context.currentTime + CROSSFADE + 0.01);
    const place = this.#place(voice, buffer);
    voice.shift = shift;
    this.#sound(voice, buffer, place, CROSSFADE);
    voice.changes += 1;
  }

  // The key is let go; a pedal may hold the note.
  stop(voice) {
    voice.held = false;
    if (!this.pedal && !voice.sostenuto) this.#fade(voice, this.release);
  }

  setPedal(down) {
    this.pedal = down;
    if (!down) this.#letGo();
  }

  // Holds what is held now, and nothing that comes later.
  setSostenuto(down) {
    for (const voice of this.voices) voice.sostenuto = down && voice.held;
    if (!down) this.#letGo();
  }

  // Bend all notes of a channel, those that sound too.
  bend(channel, semitones) {
    this.bends.set(channel, semitones);
    for (const voice of this.voices) {
      if (voice.channel !== channel) continue;
      const now = this.context.currentTime;
      const place = (now - voice.began) * voice.rate;
      voice.rate = this.#rate(voice);
      voice.began = now - place / voice.rate;
      voice.source.playbackRate.cancelScheduledValues(now);
      voice.source.playbackRate.setTargetAtTime(voice.rate, now, GLIDE);
      this.#watchEnd(voice);
    }
  }

  silence() {
    for (const voice of this.voices) this.#fade(voice, STEAL);
  }

  // Whether a buffer holds a note longer than the model does.
  isLong(buffer) {
    return buffer.duration > this.hold + this.tail + 0.5;
  }

  // Loudest sample of the last moments, 0 to 1 and above.
  peak() {
    const { analyser } = this.effects;
    this.samples ??= new Float32Array(analyser.fftSize);
    analyser.getFloatTimeDomainData(this.samples);
    return this.samples.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  }

  #letGo() {
    for (const voice of this.voices) if (!voice.held && !this.pedal && !voice.sostenuto) this.#fade(voice, this.release);
  }

  #rate(voice) {
    return 2 ** ((voice.shift + (this.bends.get(voice.channel) ?? 0)) / 12);
  }

  // Seconds into the buffer where a voice goes on: where it is, or back in the steady part, since
  // the last third of a note's hold leaves too little time for what comes next.
  #place(voice, buffer) {
    const since = (this.context.currentTime - voice.began) * voice.rate;
    const last = this.isLong(buffer) ? buffer.duration - this.tail - MARGIN : (2 / 3) * this.hold;
    return since < last ? since : Math.min(0.75 * last, buffer.duration / 2);
  }

  #sound(voice, buffer, offset, seconds) {
    const rate = this.#rate(voice);
    const source = new AudioBufferSourceNode(this.context, { buffer, playbackRate: rate });
    const gain = new GainNode(this.context, { gain: 0 });
    source.connect(gain).connect(this.master);
    this.#ramp(gain, voice.level, seconds);
    source.start(0, offset);
    source.onended = () => this.#forget(voice);
    Object.assign(voice, { source, gain, buffer, rate, began: this.context.currentTime - offset / rate });
    this.#watchEnd(voice);
  }

  // A voice that is held never ends by itself, even where its longer note is late.
  #watchEnd(voice) {
    clearTimeout(voice.ending);
    if (!this.canHold) return;
    const { buffer, rate, began } = voice;
    const end = buffer.duration - this.tail - (this.isLong(buffer) ? MARGIN : LATE);
    const left = end / rate - (this.context.currentTime - began);
    voice.ending = setTimeout(() => this.replace(voice, buffer), 1000 * Math.max(left, LATE));
  }

  #fade(voice, seconds) {
    if (!this.#forget(voice)) return;
    voice.held = false;
    this.#ramp(voice.gain, 0, seconds);
    voice.source.stop(this.context.currentTime + seconds + 0.01);
  }

  #forget(voice) {
    clearTimeout(voice.ending);
    return this.voices.delete(voice);
  }

  #ramp(gain, to, seconds) {
    const now = this.context.currentTime;
    const from = gain.gain.value;
    gain.gain.cancelScheduledValues(now);
    gain.gain.setValueAtTime(from, now);
    gain.gain.linearRampToValueAtTime(to, now + seconds);
  }
}
