// Voices: notes as the mix of `gansynth generate` plays them, with its attack and release.

const ATTACK = 0.01;
const CROSSFADE = 0.06;
const STEAL = 0.03;
const MOST_VOICES = 48;

export class Player {
  constructor(release) {
    this.release = release;
    this.voices = new Set();
    this.pedal = false;
    // Made at once: a context waits for the first key or click before it sounds.
    this.context = new AudioContext({ latencyHint: "interactive" });
    this.master = new GainNode(this.context, { gain: 0.4 });
    const limiter = new DynamicsCompressorNode(this.context, {
      threshold: -6, knee: 6, ratio: 12, attack: 0.003, release: 0.15,
    });
    this.analyser = new AnalyserNode(this.context, { fftSize: 2048 });
    this.master.connect(limiter).connect(this.analyser).connect(this.context.destination);
  }

  wake() {
    if (this.context.state === "suspended") this.context.resume();
  }

  decode(bytes) {
    return this.context.decodeAudioData(bytes);
  }

  // Begin a note; velocity 1 to 127.
  start(buffer, pitch, velocity) {
    for (const voice of this.voices) if (voice.pitch === pitch) this.#fade(voice, STEAL);
    if (this.voices.size >= MOST_VOICES) this.#fade(this.voices.values().next().value, STEAL);
    const now = this.context.currentTime;
    const voice = { pitch, level: velocity / 127, began: now, held: true, long: false };
    this.#sound(voice, buffer, 0, ATTACK);
    this.voices.add(voice);
    return voice;
  }

  // Go on with another sound from the same place: an instrument that changes, or a longer note.
  replace(voice, buffer) {
    if (!this.voices.has(voice) || !voice.held) return;
    const offset = this.context.currentTime - voice.began;
    if (offset >= buffer.duration) return;
    const old = voice.gain;
    const oldSource = voice.source;
    oldSource.onended = null;
    this.#ramp(old, 0, CROSSFADE);
    oldSource.stop(this.context.currentTime + CROSSFADE + 0.01);
    this.#sound(voice, buffer, offset, CROSSFADE);
  }

  // The key is let go; the pedal may hold the note.
  stop(voice) {
    if (!voice) return;
    voice.held = false;
    if (!this.pedal) this.#fade(voice, this.release);
  }

  setPedal(down) {
    this.pedal = down;
    if (!down) for (const voice of this.voices) if (!voice.held) this.#fade(voice, this.release);
  }

  silence() {
    for (const voice of this.voices) this.#fade(voice, STEAL);
  }

  // Loudest sample of the last moments, 0 to 1 and above.
  peak() {
    this.samples ??= new Float32Array(this.analyser.fftSize);
    this.analyser.getFloatTimeDomainData(this.samples);
    return this.samples.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  }

  #sound(voice, buffer, offset, seconds) {
    const source = new AudioBufferSourceNode(this.context, { buffer });
    const gain = new GainNode(this.context, { gain: 0 });
    source.connect(gain).connect(this.master);
    this.#ramp(gain, voice.level, seconds);
    source.start(0, offset);
    source.onended = () => this.voices.delete(voice);
    Object.assign(voice, { source, gain, buffer });
  }

  #fade(voice, seconds) {
    if (!this.voices.delete(voice)) return;
    voice.held = false;
    this.#ramp(voice.gain, 0, seconds);
    voice.source.stop(this.context.currentTime + seconds + 0.01);
  }

  #ramp(gain, to, seconds) {
    const now = this.context.currentTime;
    const from = gain.gain.value;
    gain.gain.cancelScheduledValues(now);
    gain.gain.setValueAtTime(from, now);
    gain.gain.linearRampToValueAtTime(to, now + seconds);
  }
}
