// In the audio thread: hears what goes out. Sends samples while it records, and the time of the
// first sound after it was asked for.

const AUDIBLE = 1e-4;
const BLOCK = 4096; // samples

class Tape extends AudioWorkletProcessor {
  constructor() {
    super();
    this.recording = this.listening = false;
    this.filled = 0;
    this.port.onmessage = ({ data }) => {
      if (data === "listen") this.listening = true;
      if (data === "record") this.#begin();
      if (data === "stop") {
        this.#send();
        this.recording = false;
        this.port.postMessage({ end: true });
      }
    };
  }

  process([input]) {
    if (!input.length) return true;
    const sides = [input[0], input[1] ?? input[0]];
    if (this.listening) {
      const first = sides[0].findIndex((one) => Math.abs(one) > AUDIBLE);
      if (first >= 0) {
        this.listening = false;
        this.port.postMessage({ heard: currentTime + first / sampleRate });
      }
    }
    if (this.recording) {
      sides.forEach((side, i) => this.block[i].set(side, this.filled));
      this.filled += sides[0].length;
      if (this.filled === BLOCK) this.#send();
    }
    return true;
  }

  #begin() {
    this.recording = true;
    this.filled = 0;
    this.block = [new Float32Array(BLOCK), new Float32Array(BLOCK)];
  }

  #send() {
    if (!this.recording) return;
    const sides = this.block.map((side) => side.slice(0, this.filled));
    this.port.postMessage({ sides }, sides.map((side) => side.buffer));
    this.filled = 0;
  }
}

registerProcessor("tape", Tape);
