// The site's large files: from this browser's cache or the network, checked, with progress.

const AGAIN = 2000; // ms between tries while the network is away
const ROOT = new URL("../", import.meta.url).href;
const CACHE = `gansynth files ${ROOT}`;

const keyOf = ({ path, sha256 }) => `${ROOT}${path}?${sha256}`;

// Bytes of a file `{ path, size, sha256 }`. `tell(bytes)` is told what has come, `say(words)` of
// what went wrong and is tried again.
export async function load(file, tell, say) {
  const cache = await globalThis.caches?.open(CACHE).catch(() => null); // none without https
  const kept = await cache?.match(keyOf(file)).catch(() => null);
  if (kept) {
    const bytes = await kept.arrayBuffer().catch(() => null);
    if (bytes && await isWhole(bytes, file)) {
      tell(file.size);
      return bytes;
    }
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
      await cache?.put(keyOf(file), new Response(bytes)).catch(() => {}); // no room: next time again
      return bytes;
    }
    if (tries > 0) throw new Error(`${file.path} isn't what this page was made with; reload the page to get the newest of both.`);
  }
}

// Forget what earlier versions of the site kept.
export async function tidy(files) {
  const cache = await globalThis.caches?.open(CACHE).catch(() => null);
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
  const bytes = new Uint8Array(size);
  let done = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    // A host may have unpacked it, or sent a page of its own: `isWhole` tells.
    if (done + part.value.length <= size) bytes.set(part.value, done);
    done += part.value.length;
    tell(Math.min(done, size));
  }
  return done === size ? bytes.buffer : new ArrayBuffer(0);
}

async function isWhole(bytes, { size, sha256 }) {
  if (bytes.byteLength !== size) return false;
  if (!globalThis.crypto?.subtle) return true; // without https
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((one) => one.toString(16).padStart(2, "0")).join("") === sha256;
}

// What gzip packed.
export function unpack(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
