// The engine behind the page, in this browser: a worker that runs the model, and files of the site.
// gansynth.serve.page.api has the same names, with a server behind them.

import { along as alongOf, between as betweenOf, decodeLatent, encodeLatent, near as nearOf, randomLatent } from "./latents.js";

const ROOT = new URL("../", import.meta.url);
const MOST_INSTRUMENTS = 100; // of one imported file

// `onaway(isAway)` is never told anything here; `onload(words, share)` of loading, `onnotice(words)`
// of what went wrong meanwhile and goes on; `onengine(words)` of what makes the notes.
export const connection = { onaway() {}, onload() {}, onnotice() {}, onengine() {} };

const worker = new Worker(new URL("./engine.js", import.meta.url), { type: "module" });
const waiting = new Map(); // id -> { resolve, reject, tell }
let last = 0;
let model;
let opened;

worker.addEventListener("message", ({ data }) => {
  if (data.loading) connection.onload(data.loading, data.share);
  else if (data.notice) connection.onnotice(data.notice);
  else if (data.engine) {
    console.info(`Notes are made by ${data.engine}.`);
    connection.onengine(data.engine);
  }
  else if (data.progress !== undefined) waiting.get(data.id)?.tell?.(data.progress);
  else {
    const one = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error) one?.reject(Object.assign(new Error(data.error.message), { name: data.error.name }));
    else one?.resolve(data.result);
  }
});
worker.addEventListener("error", (event) => {
  const error = new Error(`This browser can't start the instrument: ${event.message || "its files aren't all there"}.`);
  for (const { reject } of waiting.values()) reject(error);
  waiting.clear();
});

function ask(kind, body, { signal, tell, moved = [] } = {}) {
  const id = ++last;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    waiting.set(id, { resolve, reject, tell });
    signal?.addEventListener("abort", () => {
      if (waiting.delete(id)) worker.postMessage({ cancel: id });
      reject(signal.reason);
    }, { once: true });
    worker.postMessage({ id, kind, ...body }, moved);
  });
}

// What can be played. The model itself goes on loading; notes wait for it.
export async function readModel() {
  const response = await fetch(new URL("model/model.json", ROOT)).catch(() => null);
  if (!response?.ok) throw new Error("The instrument's files can't be reached; reload the page once you are online.");
  model = await response.json();
  const gpu = new URL(location).searchParams.get("gpu"); // "off", or "any": also what computes without one
  opened = ask("open", { given: model, controlled: Boolean(navigator.serviceWorker?.controller), gpu });
  opened.then(() => connection.onload("", 1), ({ message }) => {
    connection.onnotice(message);
    connection.onload(message, 1); // messages go away, this stays
  });
  return model;
}

const decoded = (text) => decodeLatent(text, model.latent_size);

export async function random(count, family) {
  const latents = Array.from({ length: count }, () => randomLatent(model.latent_size));
  if (!family) return latents.map(encodeLatent);
  await opened;
  return (await ask("family", { latents, family })).map(encodeLatent);
}

export const near = async (latent, distance) => encodeLatent(nearOf(decoded(latent), distance));

export const between = async (corners, x, y) => encodeLatent(betweenOf(corners.map(decoded), x, y));

export async function along(latent, positions) {
  const vectors = Object.fromEntries(model.directions.map(({ name, vector }) => [name, vector]));
  return encodeLatent(alongOf(decoded(latent), positions, vectors));
}

export const directions = async () => ({ state: "ready", progress: 1, directions: model.directions });

const recordOf = (latent, name) => ({
  gansynth: model.gansynth, kind: "instrument", name, model: model.record, seed: null,
  latents: [decoded(latent)], pitches: [],
});

export function sidecarAddress(latent, name) {
  return `data:application/json;charset=utf-8,${encodeURIComponent(JSON.stringify(recordOf(latent, name)))}`;
}

export const checkLatent = async (latent) => { decoded(latent); };

export async function readSidecar(record) {
  const latents = record?.latents;
  if (!["instrument", "note", "clip"].includes(record?.kind) || !Array.isArray(latents) || !latents.length) {
    throw new Error("file: is no sound of gansynth; choose the .json that was exported, or that lies beside a note or clip.");
  }
  if (latents.length > MOST_INSTRUMENTS) throw new Error(`file: has ${latents.length} instruments; the page takes ${MOST_INSTRUMENTS}.`);
  const words = typeof record.name === "string" && record.name.trim() ? record.name.slice(0, 100) : "imported";
  const instruments = latents.map((latent, i) => {
    if (!Array.isArray(latent) || latent.length !== model.latent_size) {
      throw new Error(`instrument='${words}': has ${latent?.length ?? "no"} numbers, the model's latents have ${model.latent_size}; use the model that it was made with.`);
    }
    const text = encodeLatent(latent);
    decoded(text); // its numbers
    return { name: latents.length > 1 ? `${words.slice(0, 90)} ${i + 1}` : words, latent: text };
  });
  return { instruments, other_model: record.model?.sha256 !== model.sha256 };
}

let picture;

export async function pictureAddress(latent, pitch, layer) {
  await opened;
  const blob = await ask("picture", { latent: decoded(latent), pitch, velocity: layer ?? null });
  URL.revokeObjectURL(picture);
  picture = URL.createObjectURL(blob);
  return picture;
}

// Bytes of a note, as a WAV file. `seconds` isn't followed: notes go back before they end.
export async function noteBytes(latent, pitch, { ahead, velocity, signal } = {}) {
  await opened;
  const rank = ahead ? "ahead" : "played";
  return ask("note", { rank, latent: decoded(latent), pitch, velocity: velocity ?? null }, { signal });
}

export async function render(file, { arrangement, latents, times }, signal, tell) {
  await opened;
  const body = { file: await file.arrayBuffer(), arrangement, latents: latents.map(decoded), times };
  const { bytes, summary } = await ask("render", body, { signal, tell, moved: [body.file] });
  const name = `${file.name.replace(/\.[^.]*$/, "") || "clip"}.wav`;
  return { files: [{ name, url: URL.createObjectURL(new Blob([bytes], { type: "audio/wav" })) }], summary };
}

// No `exportSfz` here: samples need loops, which gansynth finds.
export const exportSfz = null;

// --- offline, and on the home screen --------------------------------------------------------------

const link = Object.assign(document.createElement("link"), { rel: "manifest", href: new URL("manifest.json", ROOT) });
document.head.append(link);
navigator.serviceWorker?.register(new URL("sw.js", ROOT)).catch(() => {}); // plays on without
