// The engine behind the page: here a server, over HTTP. `gansynth export web` puts another one in
// this file's place, which exports the same names. Refusals are errors whose message is for people.

const AGAIN = 2000; // ms between looks whether the server is back
const GATEWAY = new Set([502, 504]); // a proxy's answer while the server behind it is away

let away = false;
// `onaway(isAway, model)` is told when the server stops answering, and when it answers again.
export const connection = { onaway() {} };

async function refusal(response) {
  const text = await response.text();
  let words = text;
  try { words = JSON.parse(text).error ?? text; } catch { /* not from our routes */ }
  const error = new Error(words || `The server answers ${response.status}.`);
  error.retry = response.status === 503 || response.status === 429;
  return error;
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw lost();
  }
  if (GATEWAY.has(response.status)) throw lost();
  if (!response.ok) throw await refusal(response);
  return response;
}

// Says so once, and looks until the server is back.
function lost() {
  if (!away) {
    away = true;
    connection.onaway(true);
    setTimeout(look, AGAIN);
  }
  const error = new Error("The server doesn't answer.");
  error.lost = true;
  return error;
}

async function look() {
  const response = await fetch("api/model").catch(() => null);
  // Started again, with another token: the page asks for the new link.
  if (response?.status === 401) location.reload();
  if (!response?.ok) {
    setTimeout(look, AGAIN);
    return;
  }
  away = false;
  connection.onaway(false, await response.json());
}

async function get(path) {
  return (await ask(path)).json();
}

async function post(path, body) {
  const response = await ask(path, {
    method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" },
  });
  return response.json();
}

// What can be played: names, pitches, seconds, limits.
export const readModel = () => get("api/model");

// Latents travel as text.
export async function random(count, family) {
  const { latents } = family
    ? await post("api/instruments/of-family", { family, count })
    : await post("api/instruments/random", { count });
  return latents;
}

export async function near(latent, distance) {
  return (await post("api/instruments/near", { latent, distance, count: 1 })).latents[0];
}

export async function between(corners, x, y) {
  return (await post("api/instruments/between", { corners, x, y })).latents[0];
}

export async function along(latent, positions) {
  return (await post("api/instruments/along", { latent, positions })).latents[0];
}

export const directions = () => get("api/directions");

// A sound as a file: an address to download it from.
export const sidecarAddress = (latent, name) => `api/sidecars/${encodeURIComponent(latent)}?${new URLSearchParams({ name })}`;

// Refuses in words a text that is no latent of this model.
export const checkLatent = (latent) => get(`api/sidecars/${encodeURIComponent(latent)}`);

// The sounds of a file's contents: { instruments: [{ name, latent }], other_model }.
export const readSidecar = (record) => post("api/sidecars", record);

// The address of a note's picture.
export const pictureAddress = async (latent, pitch, layer) => (
  `api/rainbowgrams/${latent}/${pitch}${layer ? `?velocity=${layer}` : ""}`
);

// The bytes of a note; waits and asks again while the server is busy.
export async function noteBytes(latent, pitch, { ahead, seconds, velocity, also, signal } = {}) {
  const query = new URLSearchParams();
  if (ahead) query.set("ahead", "true");
  if (seconds) query.set("seconds", seconds);
  if (velocity) query.set("velocity", velocity);
  if (also?.length) query.set("also", also);
  for (let patience = 8; ; patience--) {
    try {
      return await (await ask(`api/notes/${latent}/${pitch}?${query}`, { signal })).arrayBuffer();
    } catch (error) {
      if (!error.retry || patience === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
      signal?.throwIfAborted();
    }
  }
}

// A MIDI file as sound: { files: [{ name, url }], summary }; `tell` is given the share that is done.
export function render(file, { arrangement, latents, times }, signal, tell) {
  const query = new URLSearchParams({ arrangement, name: file.name });
  if (times) query.set("times", times);
  for (const latent of latents) query.append("latent", latent);
  return work(`api/renders?${query}`, { body: file, headers: { "content-type": "audio/midi" }, signal }, tell);
}

// A sound for samplers, as a zip; otherwise as `render`.
export function exportSfz(sound, signal, tell) {
  const options = { body: JSON.stringify(sound), headers: { "content-type": "application/json" }, signal };
  return work("api/exports", options, tell);
}

// Longer work. `tell` is given the share that is done, or the place in the queue before that, and
// how many wait there; gives what "done" holds.
async function work(path, options, tell) {
  const response = await ask(path, { method: "POST", ...options });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("The server ended before the work was done.");
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const record = JSON.parse(line);
      if (record.error) throw new Error(record.error);
      if (record.done) return record.done;
      tell(record.progress, record.waiting, record.queue);
    }
  }
}
