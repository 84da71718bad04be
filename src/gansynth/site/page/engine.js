// The model in a worker: notes in the order of need, pictures of them, whole clips.
//
//   in   { id, kind, ... }; { cancel: id } ends one
//   out  { id, result } or { id, error }; { id, progress }; { loading, share }; { notice }

import * as ort from "../runtime/ort.js";
import { encodeLatent, evenTimes, latentAt } from "./latents.js";
import { fitPitches, partsOf, readMidi } from "./midi.js";
import { Mix } from "./mix.js";
import { rainbow } from "./picture.js";
import { keyOf, load, tidy } from "./store.js";
import { encodeWav, peakOf } from "./wav.js";

const MOST_THREADS = 4;
const WAVES = 64; // of late, which a picture begins with
const CEILING = 0.999; // of full scale
const RANKS = { played: 0, ahead: 1, piece: 2 };
// A module with one SIMD instruction: what browsers that can't run the model refuse.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

// A model with one operation, which starts the runtime.
const RELU = [
  8, 8, 58, 51, 10, 12, 10, 1, 120, 18, 1, 121, 34, 4, 82, 101, 108, 117, 18, 1, 116, 90, 15, 10, 1, 120, 18, 10, 10, 8, 8, 1, 18,
  4, 10, 2, 8, 1, 98, 15, 10, 1, 121, 18, 10, 10, 8, 8, 1, 18, 4, 10, 2, 8, 1, 66, 4, 10, 0, 16, 18,
];
// Graph rewriting and packed weights make a note a tenth faster, but take longer than ten notes when
// the browser's code is new.
const QUICK = { executionProviders: ["wasm"], graphOptimizationLevel: "disabled", extra: { session: { disable_prepacking: "1" } } };

let model;
let notes; // ort.InferenceSession
let families;
const queue = []; // { rank, id, stop, run }
const gone = new Set(); // ids that were cancelled
const waves = new Map();
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
  async open({ given, controlled }) {
    model = given;
    await open(controlled);
    return [{ threads: ort.env.wasm.numThreads }];
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
    const number = BigInt(1 + model.families.indexOf(family));
    families ??= session(model.files.families);
    const made = await turn("played", id, async () => (await families).run({
      latent: new ort.Tensor("float32", latents.flat(), [latents.length, model.latent_size]),
      family: new ort.Tensor("int64", latents.map(() => number), [latents.length]),
    }));
    const flat = [...made.moved.data];
    return [latents.map((_, i) => flat.slice(i * model.latent_size, (i + 1) * model.latent_size))];
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

// `controlled`: a service worker answers for the page.
async function open(controlled) {
  if (!WebAssembly.validate(new Uint8Array(SIMD))) {
    throw new Error("This browser can't run the model: it lacks WebAssembly SIMD. Chrome and Edge have it from version 91, Firefox from 89, Safari from 16.4.");
  }
  const files = [model.files.runtime, model.files.notes, model.files.weights];
  const come = files.map(() => 0);
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const say = (words) => self.postMessage({ notice: words });
  const [binary, graph, halves] = files.map((file, i) => load(file, (bytes) => {
    come[i] = bytes;
    const share = come.reduce((sum, one) => sum + one, 0) / total;
    self.postMessage({ loading: share < 1 ? "loading the instrument" : "starting the instrument", share });
  }, say));
  // It starts while the model is on its way.
  const [, bytes, weights] = await Promise.all([binary.then((one) => start(one, controlled)), graph, halves]);
  notes = await create(bytes, weights);
  await tidy(Object.values(model.files));
}

async function start(binary, controlled) {
  const { wasm } = ort.env;
  const address = keyOf(model.files.runtime);
  const kept = controlled && await fetch(address).then((answer) => {
    answer.body?.cancel();
    return answer.headers.get("content-type") === "application/wasm";
  }, () => false);
  wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency ?? 1, MOST_THREADS) : 1;
  wasm.wasmPaths = { mjs: new URL("../runtime/ort-wasm.js", import.meta.url).href };
  if (kept) wasm.wasmPaths.wasm = address; // by its address, browsers know code that they compiled before
  else wasm.wasmBinary = binary;
  ort.env.logLevel = "error";
  await create(new Uint8Array(RELU).buffer);
}

async function session(file) {
  return create(await load(file, () => {}, (words) => self.postMessage({ notice: words })));
}

// Of an ONNX file's bytes, and those of its weights in float16 if they lie beside it.
async function create(bytes, halves) {
  try {
    const externalData = halves?.byteLength ? [{ path: "weights", data: widened(halves) }] : [];
    return await ort.InferenceSession.create(new Uint8Array(bytes), { ...QUICK, externalData });
  } catch (error) {
    const size = Math.round((bytes.byteLength + 2 * (halves?.byteLength ?? 0)) / 1e6);
    throw /memory|alloc/i.test(error.message)
      ? new Error(`This model is too large for the memory that this browser gives a page (it takes ${size} MB). Close other tabs, or play it with gansynth serve.`)
      : new Error(`This browser can't start the model: ${error.message}`);
  }
}

// Bytes of float32 numbers, of those of float16.
function widened(halves) {
  const [table, wide] = [new Float32Array(1 << 16), new Float32Array(halves.byteLength / 2)];
  for (let i = 0; i < table.length; i += 1) {
    const [exponent, fraction] = [(i >> 10) & 31, i & 1023];
    const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    table[i] = i >> 15 ? -size : size;
  }
  const half = new Uint16Array(halves);
  for (let i = 0; i < half.length; i += 1) wide[i] = table[half[i]];
  return new Uint8Array(wide.buffer);
}

// The wave of a note, float32 at the model's rate; velocity may be null.
async function make(latent, pitch, velocity) {
  const key = `${encodeLatent(latent)} ${pitch} ${velocity ?? ""}`;
  const known = waves.get(key);
  if (known) return known;
  const feeds = {
    latent: new ort.Tensor("float32", latent, [1, model.latent_size]),
    pitch: new ort.Tensor("int64", [BigInt(pitch)], [1]),
  };
  if (notes.inputNames.includes("velocity")) {
    feeds.velocity = new ort.Tensor("float32", [velocity ?? model.usual_velocity], [1]);
  }
  const { wave } = await notes.run(feeds);
  if (!Number.isFinite(peakOf(wave.data))) throw new Error("latent: its numbers are too large to make a sound from.");
  waves.set(key, wave.data);
  if (waves.size > WAVES) waves.delete(waves.keys().next().value);
  return wave.data;
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
  while (queue.length) {
    await queue.shift().run();
    await breath();
  }
  busy = false;
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
