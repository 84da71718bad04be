// The server's answers, its refusals as errors whose message is meant for people, and its absence.

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
  error.retry = response.status === 503;
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
  if (!response?.ok) {
    setTimeout(look, AGAIN);
    return;
  }
  away = false;
  connection.onaway(false, await response.json());
}

export async function get(path) {
  return (await ask(path)).json();
}

export async function post(path, body, signal) {
  const response = await ask(path, {
    method: "POST", body: JSON.stringify(body), signal, headers: { "content-type": "application/json" },
  });
  return response.json();
}

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

// Longer work. `tell` is given the share that is done; gives what "done" holds.
export async function work(path, options, tell) {
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
      tell(record.progress);
    }
  }
}
