// The site's large files: from this browser's cache or the network, unpacked, checked, with progress.

const AGAIN = 2000; // ms between tries while the network is away
const ROOT = new URL("../", import.meta.url).href;
const CACHE = `gansynth files ${ROOT}`;

// Under which a file is kept, unpacked; sw.js answers the runtime's.
export const keyOf = ({ path, sha256 }) => `${ROOT}${path.replace(/\.gz$/, "")}?${sha256}`;

const opened = () => globalThis.caches?.open(CACHE).catch(() => null); // none without https

// Bytes of a file `{ path, size, bytes, sha256 }` that this browser keeps; null of one that it
// doesn't, nothing of a damaged one. `size` is what is sent, the other two are of what is in it.
export async function kept(file) {
  const found = await (await opened())?.match(keyOf(file)).catch(() => null);
  if (!found) return null;
  const bytes = await found.arrayBuffer().catch(() => null);
  return bytes && await isWhole(bytes, file) ? bytes : undefined;
}

// Whether this browser keeps a file; it may be damaged.
export const isKept = async (file) => Boolean(await (await opened())?.match(keyOf(file)).catch(() => null));

// Bytes of a file, wherever they are. `tell(bytes)` is told what has come, `say(words)` of what went
// wrong and is tried again.
export async function load(file, tell, say) {
  const cache = await opened();
  const here = await kept(file);
  if (here) {
    tell(file.size);
    return here;
  }
  if (here === undefined) {
    say(`The copy of ${file.path} that this browser kept is damaged; it is fetched again.`);
    await cache.delete(keyOf(file));
  }
  for (let tries = 0; ; tries += 1) {
    let bytes;
    try {
      bytes = await download(file, tell);
    } catch (error) {
      if (error.status) throw error;
      say("The connection was lost while the instrument was loading; it is tried again.");
      await new Promise((next) => setTimeout(next, AGAIN));
      continue;
    }
    if (await isWhole(bytes, file)) {
      const headers = { "content-type": file.path.includes(".wasm") ? "application/wasm" : "application/octet-stream" };
      await cache?.put(keyOf(file), new Response(bytes, { headers })).catch(() => {}); // no room: next time again
      return bytes;
    }
    if (tries > 0) throw new Error(`${file.path} isn't what this page was made with; reload the page to get the newest of both.`);
  }
}

// Forget what earlier versions of the site kept.
export async function tidy(files) {
  const cache = await opened();
  const wanted = new Set(files.map(keyOf));
  for (const { url } of (await cache?.keys().catch(() => [])) ?? []) {
    if (!wanted.has(url)) await cache.delete(url);
  }
}

async function download({ path, size, sha256 }, tell) {
  const response = await fetch(`${ROOT}${path}?${sha256.slice(0, 16)}`);
  if (!response.ok) {
    const error = new Error(`The host answers ${response.status} for ${path}; upload the whole folder.`);
    error.status = response.status;
    throw error;
  }
  const reader = response.body.getReader();
  const parts = [];
  let done = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    done += part.value.length;
    tell(Math.min(done, size));
  }
  // Firefox takes what came before the connection was lost for all of it.
  const { headers } = response;
  if (!headers.has("content-encoding") && done < Number(headers.get("content-length"))) throw new Error("cut short");
  return unpack(new Blob(parts));
}

async function isWhole(found, { bytes, sha256 }) {
  if (found.byteLength !== bytes) return false;
  if (!globalThis.crypto?.subtle) return true; // without https
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", found));
  return [...digest].map((one) => one.toString(16).padStart(2, "0")).join("") === sha256;
}

// What gzip packed, unless the host has unpacked it; nothing where it is damaged.
async function unpack(blob) {
  const [first, second] = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  if (first !== 0x1f || second !== 0x8b) return blob.arrayBuffer();
  const stream = blob.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer().catch(() => new ArrayBuffer(0));
}
