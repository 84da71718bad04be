// From the voices to the speakers: filter, reverb, limiter; and what listens at the end.

const OPEN = 20000; // Hz
const CLOSED = 150;
const RESONANCE = 0.8;
const REVERB = 2.4; // s to -60 dB
const LIMITER = { threshold: -6, knee: 6, ratio: 12, attack: 0.003, release: 0.15 };
const LONGEST = 10 * 60; // s of a recording

export class Effects {
  constructor(context) {
    this.context = context;
    this.input = new GainNode(context, { gain: 0.4 });
    this.filter = new BiquadFilterNode(context, { type: "lowpass", frequency: OPEN, Q: RESONANCE });
    this.wet = new GainNode(context, { gain: 0 });
    this.out = new DynamicsCompressorNode(context, LIMITER);
    this.analyser = new AnalyserNode(context, { fftSize: 2048 });
    this.input.connect(this.out);
    this.out.connect(this.analyser).connect(context.destination);
    this.wet.connect(this.out);
    this.from = this.input; // what goes to the limiter
  }

  // 0 is dark, 1 is open: no filter then.
  setFilter(share) {
    const { currentTime } = this.context;
    this.filter.frequency.setTargetAtTime(CLOSED * (OPEN / CLOSED) ** share, currentTime, 0.01);
    const from = share < 1 ? this.filter : this.input;
    if (from === this.from) return;
    this.from.disconnect(this.out);
    if (this.convolver) this.from.disconnect(this.convolver);
    this.input.disconnect();
    if (from === this.filter) this.input.connect(this.filter);
    from.connect(this.out);
    if (this.convolver) from.connect(this.convolver);
    this.from = from;
  }

  // 0 to 1: the share of the reverb.
  setReverb(share) {
    if (share > 0 && !this.convolver) {
      this.convolver = new ConvolverNode(this.context, { buffer: room(this.context) });
      this.from.connect(this.convolver).connect(this.wet);
    } else if (share === 0 && this.convolver) {
      this.from.disconnect(this.convolver);
      this.convolver.disconnect();
      this.convolver = null;
    }
    this.wet.gain.setTargetAtTime(share, this.context.currentTime, 0.02);
  }

  // When the next sound leaves, in the context's seconds.
  async heard() {
    const tape = await this.#tape();
    return new Promise((resolve) => {
      const listen = ({ data }) => {
        if (data.heard === undefined) return;
        tape.port.removeEventListener("message", listen);
        resolve(data.heard);
      };
      tape.port.addEventListener("message", listen);
      tape.port.postMessage("listen");
    });
  }

  // Records until the function that it gives is called, which gives both sides; `full` is told once
  // ten minutes are there.
  async record(full) {
    const tape = await this.#tape();
    const blocks = [];
    let length = 0;
    let ended;
    const end = new Promise((resolve) => { ended = resolve; });
    const take = ({ data }) => {
      if (data.sides) {
        blocks.push(data.sides);
        length += data.sides[0].length;
        if (length > LONGEST * this.context.sampleRate) full();
      }
      if (data.end) ended();
    };
    tape.port.addEventListener("message", take);
    tape.port.postMessage("record");
    return async () => {
      tape.port.postMessage("stop");
      await end;
      tape.port.removeEventListener("message", take);
      return [0, 1].map((side) => {
        const all = new Float32Array(length);
        let at = 0;
        for (const block of blocks) {
          all.set(block[side], at);
          at += block[side].length;
        }
        return all;
      });
    };
  }

  async #tape() {
    if (!this.context.audioWorklet) {
      throw new Error("This browser records only on pages from localhost or https.");
    }
    this.tape ??= this.context.audioWorklet.addModule(new URL("./tape.js", import.meta.url)).then(() => {
      const tape = new AudioWorkletNode(this.context, "tape", { numberOfOutputs: 0 });
      this.out.connect(tape);
      tape.port.start();
      return tape;
    });
    return this.tape;
  }
}

// Noise that dies away, a little different in both ears: a large room.
function room(context) {
  const buffer = context.createBuffer(2, REVERB * context.sampleRate, context.sampleRate);
  let seed = 1;
  const noise = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 31 - 1;
  };
  for (const side of [0, 1]) {
    const samples = buffer.getChannelData(side);
    let dark = 0;
    for (let i = 0; i < samples.length; i += 1) {
      const share = i / samples.length;
      dark += (noise() - dark) * (0.6 - 0.5 * share); // high ones die sooner
      samples[i] = dark * 10 ** (-3 * share);
    }
  }
  return buffer;
}
