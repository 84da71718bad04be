// ONNX Runtime in a worker: which build of it, its start, and sessions of ONNX files.

import { isKept, keyOf } from "./store.js";

const MOST_THREADS = 4;
const MEMORY = 8; // GB: a second copy of the model, for WebGPU, is too much for less
// A module with one SIMD instruction: what browsers that can't run the model refuse.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
// A model with one operation, which starts the runtime.
const RELU = [
  8, 8, 58, 51, 10, 12, 10, 1, 120, 18, 1, 121, 34, 4, 82, 101, 108, 117, 18, 1, 116, 90, 15, 10, 1, 120, 18, 10, 10, 8, 8, 1, 18,
  4, 10, 2, 8, 1, 98, 15, 10, 1, 121, 18, 10, 10, 8, 8, 1, 18, 4, 10, 2, 8, 1, 66, 4, 10, 0, 16, 18,
];
// Graph rewriting and packed weights make a note a tenth faster, but take longer than ten notes when
// the browser's code is new.
export const QUICK = { executionProviders: ["wasm"], graphOptimizationLevel: "disabled", extra: { session: { disable_prepacking: "1" } } };

let ort;

// Of the two builds in `model.files` the one to take, { build, why }: `webgpu` has both and is larger,
// so it is for browsers with a graphics processor; `why` says what speaks against it. It may lack in a
// site, and waits for the processor by JSPI. What the first visit took stays. `gpu`: see api.js.
export async function buildOf({ files }, gpu) {
  if (!WebAssembly.validate(new Uint8Array(SIMD))) {
    throw new Error("This browser can't run the model: it lacks WebAssembly SIMD. Chrome and Edge have it from version 91, Firefox from 89, Safari from 16.4.");
  }
  if (!(files.webgpu && navigator.gpu && WebAssembly.Suspending)) return { build: "runtime" };
  if (gpu !== "any") {
    if (await isKept(files.webgpu)) return { build: "webgpu" };
    if (gpu === "off" || await isKept(files.runtime)) return { build: "runtime" };
  }
  return processor(gpu === "any").then(() => ({ build: "webgpu" }), ({ message }) => ({ build: "runtime", why: message }));
}

// What the graphics processor says of itself; an error of one that isn't to be used.
export async function processor(software) {
  if (navigator.deviceMemory < MEMORY) throw new Error(`this device has less than ${MEMORY} GB of memory`);
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("this browser offers no graphics processor");
  const { isFallbackAdapter = adapter.isFallbackAdapter } = adapter.info;
  if (isFallbackAdapter && !software) throw new Error("it would be computed without a graphics processor");
  return adapter.info;
}

// Start a build with the bytes of its `.wasm`. `controlled`: a service worker answers for the page.
export async function start(model, build, { binary, controlled, threads = MOST_THREADS }) {
  const name = build === "webgpu" ? "ort-webgpu" : "ort";
  ort = await import(`../runtime/${name}.js`);
  const { wasm } = ort.env;
  const address = keyOf(model.files[build]);
  const kept = controlled && await fetch(address).then((answer) => {
    answer.body?.cancel();
    return answer.headers.get("content-type") === "application/wasm";
  }, () => false);
  wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency ?? 1, threads) : 1;
  wasm.wasmPaths = { mjs: new URL(`../runtime/${name}-wasm.js`, import.meta.url).href };
  if (kept) wasm.wasmPaths.wasm = address; // by its address, browsers know code that they compiled before
  else wasm.wasmBinary = binary;
  ort.env.logLevel = "error";
  await create(new Uint8Array(RELU).buffer);
  return ort.env;
}

// Of an ONNX file's bytes, and those of its weights in float16 if they lie beside it.
export async function create(bytes, halves, options = QUICK) {
  try {
    const externalData = halves?.byteLength ? [{ path: "weights", data: widened(halves) }] : [];
    return await ort.InferenceSession.create(new Uint8Array(bytes), { ...options, externalData });
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

// The wave of a note, float32 at the model's rate.
export async function waveOf(session, { latent, pitch, velocity }) {
  const feeds = {
    latent: new ort.Tensor("float32", latent, [1, latent.length]),
    pitch: new ort.Tensor("int64", [BigInt(pitch)], [1]),
  };
  if (session.inputNames.includes("velocity")) feeds.velocity = new ort.Tensor("float32", [velocity], [1]);
  return (await session.run(feeds)).wave.data;
}

// Latents that the session of families.onnx moves to a family, which counts from 1.
export async function movedTo(session, latents, family) {
  const size = latents[0].length;
  const { moved } = await session.run({
    latent: new ort.Tensor("float32", latents.flat(), [latents.length, size]),
    family: new ort.Tensor("int64", latents.map(() => BigInt(family)), [latents.length]),
  });
  return latents.map((_, i) => [...moved.data.slice(i * size, (i + 1) * size)]);
}
