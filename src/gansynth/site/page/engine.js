// The model in a worker: notes in the order of need, pictures of them, whole clips.
//
//   in   { id, kind, ... }; { cancel: id } ends one
//   out  { id, result } or { id, error }; { id, progress }; { loading, share }; { notice }; { engine }

import { encodeLatent, evenTimes, latentAt } from "./latents.js";
import { fitPitches, partsOf, readMidi } from "./midi.js";
import { Mix } from "./mix.js";
import { rainbow } from "./picture.js";
import { buildOf, create, movedTo, start, waveOf } from "./session.js";
import { load, tidy } from "./store.js";
import { encodeWav, peakOf } from "./wav.js";
import { Graphics, median } from "./webgpu.js";

const WAVES = 64; // of late, which a picture begins with
const CEILING = 0.999; // of full scale
const RANKS = { played: 0, ahead: 1, piece: 2 };
const IDLE = 2000; // ms without a note to make, after which WebGPU is tried
const TIMES = 16; // of late, which it must beat

let model;
let notes; // a session
let families;
let trial; // of WebGPU, still to come: { model, controlled, software }
let graphics; // once it began
let resting;
let took = []; // ms
const queue = []; // { rank, id, stop, run }
const gone = new Set(); // ids that were cancelled
const waves = new Map(); // of a key: { latent, pitch, velocity, wave }
let busy = false;

self.addEventListener("message", async ({ data }) => {
  if (data.cancel) {
    const place = queue.findIndex((one) => one.id === data.cancel);
    if (place >= 0) queue.splice(place, 1)[0].stop();
    else gone.add(data.cancel);
    return;
  }
  const { id, kind } = data;
  try {
    const [result, moved = []] = await KINDS[kind](data);
    self.postMessage({ id, result }, moved);
  } catch (error) {
    self.postMessage({ id, error: inWords(error) });
  } finally {
    gone.delete(id);
  }
});

const KINDS = {
  async open({ given, controlled, gpu }) {
    model = given;
    const { build, why } = await buildOf(model, gpu);
    const { wasm } = await open(build, controlled);
    const threads = `, ${wasm.numThreads} thread${wasm.numThreads === 1 ? "" : "s"}`;
    self.postMessage({ engine: `WebAssembly${why ? `; WebGPU isn't used: ${why}` : threads}` });
    if (build === "webgpu" && gpu !== "off") trial = { model, controlled, software: gpu === "any" };
    return [];
  },

  async note({ id, rank, latent, pitch, velocity }) {
    const wave = await turn(rank, id, () => make(latent, pitch, velocity));
    const bytes = encodeWav([wave], model.sample_rate, CEILING / (peakOf(wave) || Infinity));
    return [bytes, [bytes]];
  },

  async picture({ id, latent, pitch, velocity }) {
    const wave = await turn("ahead", id, () => make(latent, pitch, velocity));
    const { width, height, data } = rainbow(wave, model.sample_rate);
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    return [await canvas.convertToBlob()];
  },

  async family({ id, latents, family }) {
    families ??= load(model.files.families, () => {}, say).then((bytes) => create(bytes));
    const number = 1 + model.families.indexOf(family);
    return [await turn("played", id, async () => movedTo(await families, latents, number))];
  },

  // A MIDI file as WAV: { bytes, summary }.
  async render({ id, file, arrangement, latents, times }) {
    const score = readMidi(file);
    const { notes: played, moved, dropped } = fitPitches(score.notes, model.pitches);
    if (!played.length) throw new Error("midi: all notes lie outside the model's pitches; nothing is left to play.");
    const duration = Math.max(...played.map((note) => note.end));
    if (duration > model.piece_seconds) {
      throw new Error(`midi: lasts ${Math.ceil(duration / 60)} minutes; a browser renders ${model.piece_seconds / 60} at most, use gansynth generate --midi.`);
    }
    const parts = partsOf(played);
    const at = times ?? evenTimes(latents.length, duration);
    const latentOf = (note, i) => (arrangement === "per-track" ? latents[parts[i] % latents.length]
      : arrangement === "single" ? latents[0] : latentAt(note.start, latents, at));
    const mix = new Mix({ duration, rate: model.sample_rate, hold: model.hold_seconds, release: model.release_seconds });
    for (const [i, note] of played.entries()) {
      const wave = await turn("piece", id, () => make(latentOf(note, i), note.pitch, note.velocity));
      mix.add(wave, note);
      self.postMessage({ id, progress: (i + 1) / played.length });
    }
    const held = played.filter((note) => note.end - note.start > model.hold_seconds).length;
    const bytes = encodeWav([mix.samples], model.sample_rate, mix.level);
    const counted = (count, words) => (count ? `, ${count} ${words}` : "");
    const summary = `${played.length} note${played.length === 1 ? "" : "s"} over ${duration.toFixed(1)} s`
      + counted(moved, "moved by octaves into range") + counted(dropped, "out of range and dropped")
      + counted(score.drums, "drum notes left out")
      + counted(held, `held longer than ${model.hold_seconds} s and released then`);
    return [{ bytes, summary }, [bytes]];
  },
};

// Load and start all that notes need; the runtime's settings. `controlled`: a service worker answers
// for the page.
async function open(build, controlled) {
  const files = [model.files[build], model.files.notes, model.files.weights];
  const come = files.map(() => 0);
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const [binary, graph, halves] = files.map((file, i) => load(file, (bytes) => {
    come[i] = bytes;
    const share = come.reduce((sum, one) => sum + one, 0) / total;
    self.postMessage({ loading: share < 1 ? "loading the instrument" : "starting the instrument", share });
  }, say));
  // It starts while the model is on its way.
  const started = binary.then((bytes) => start(model, build, { binary: bytes, controlled }));
  const [env, bytes, weights] = await Promise.all([started, graph, halves]);
  notes = await create(bytes, weights);
  await tidy(Object.values(model.files));
  return env;
}

const say = (words) => self.postMessage({ notice: words });

// The wave of a note, float32 at the model's rate; velocity may be null.
async function make(latent, pitch, velocity) {
  const key = `${encodeLatent(latent)} ${pitch} ${velocity ?? ""}`;
  const known = waves.get(key);
  if (known) return known.wave;
  const note = { latent, pitch, velocity: velocity ?? model.usual_velocity };
  const wave = await (graphics ? graphics.make(note, byWebAssembly) : byWebAssembly(note));
  if (!Number.isFinite(peakOf(wave))) throw new Error("latent: its numbers are too large to make a sound from.");
  waves.set(key, { ...note, wave });
  if (waves.size > WAVES) waves.delete(waves.keys().next().value);
  return wave;
}

async function byWebAssembly(note) {
  const begun = performance.now();
  const wave = await waveOf(notes, note);
  took = [...took.slice(1 - TIMES), performance.now() - begun];
  return wave;
}

// Waits for its turn: the most urgent first, and in order among alike.
function turn(rank, id, run) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(new DOMException("stopped", "AbortError"));
    if (gone.has(id)) {
      stop();
      return;
    }
    queue.push({ rank: RANKS[rank], id, stop, run: () => run().then(resolve, reject) });
    queue.sort((a, b) => a.rank - b.rank);
    work();
  });
}

async function work() {
  if (busy) return;
  busy = true;
  clearTimeout(resting);
  while (queue.length) {
    await queue.shift().run();
    await breath();
  }
  busy = false;
  if (trial && took.length) resting = setTimeout(tryGraphics, IDLE);
}

function tryGraphics() {
  graphics = new Graphics((engine) => self.postMessage({ engine }));
  graphics.compare(trial, [...waves.values()], median(took));
  trial = null;
}

// Lets messages in that have come meanwhile: a key that was pressed goes first.
function breath() {
  return new Promise((next) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      next();
    };
    port2.postMessage(null);
  });
}

function inWords(error) {
  return { message: error.message, name: error.name };
}
