// Latents in the browser, as gansynth.serve.latents has them: text in addresses, and the ways to a
// new one. With a server behind the page, the timeline alone needs them.

const LARGEST = 1000;
const REACH = 4; // standard deviations that a slider's end moves a latent

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const norm = (a) => Math.sqrt(dot(a, a));
const mixed = (a, b, s, t) => a.map((x, i) => s * x + t * b[i]);

// Little-endian float32 in base64 for addresses, unpadded.
export function encodeLatent(latent) {
  const view = new DataView(new ArrayBuffer(4 * latent.length));
  latent.forEach((x, i) => view.setFloat32(4 * i, x, true));
  const text = String.fromCharCode(...new Uint8Array(view.buffer));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

// Numbers of a text; refused in words unless they are a latent of this size.
export function decodeLatent(text, size) {
  const shown = `latent='${text.slice(0, 12)}'…`;
  let bytes;
  try {
    bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    throw new Error(`${shown}: isn't a latent in base64; copy the whole link or file again.`);
  }
  if (bytes.length !== 4 * size) {
    throw new Error(`${shown}: has ${bytes.length} bytes, the model's latents have ${4 * size}; use the model that it was made with.`);
  }
  const view = new DataView(Uint8Array.from(bytes, (one) => one.charCodeAt(0)).buffer);
  const latent = Array.from({ length: size }, (_, i) => view.getFloat32(4 * i, true));
  if (!latent.every((x) => Math.abs(x) <= LARGEST)) {
    throw new Error(`${shown}: every number must be from -${LARGEST} to ${LARGEST}.`);
  }
  return latent;
}

// Normal numbers (Box and Muller 1958).
export function randomLatent(size) {
  return Array.from({ length: size }, () => (
    Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random())
  ));
}

// Turned by `distance` right angles in a random direction.
export function near(z, distance) {
  const length = norm(z);
  const other = randomLatent(z.length);
  if (length === 0) return other.map((x) => distance * x);
  const across = mixed(other, z, 1, -dot(other, z) / length ** 2);
  const angle = (distance * Math.PI) / 2;
  return mixed(z, across, Math.cos(angle), (Math.sin(angle) * length) / norm(across));
}

// Spherical interpolation; of directions in line with each other, linear.
export function slerp(a, b, t) {
  const lengths = norm(a) * norm(b);
  const angle = Math.acos(lengths > 0 ? Math.min(Math.max(dot(a, b) / lengths, -1), 1) : 1);
  const sine = Math.sin(angle);
  if (sine < 1e-6) return mixed(a, b, 1 - t, t);
  return mixed(a, b, Math.sin((1 - t) * angle) / sine, Math.sin(t * angle) / sine);
}

// At a place of the pad: corners from top left to bottom right.
export function between(corners, x, y) {
  return slerp(slerp(corners[0], corners[1], x), slerp(corners[2], corners[3], x), y);
}

// Moved by sliders, `positions` from name to -1 … 1, along unit `vectors`; the length stays.
export function along(z, positions, vectors) {
  const moved = Object.entries(positions)
    .reduce((sum, [name, at]) => mixed(sum, vectors[name], 1, REACH * at), z);
  const length = norm(moved);
  if (length === 0 || !Object.values(positions).some(Boolean)) return z;
  return moved.map((x) => (x * norm(z)) / length);
}

// When each of some evenly spaced instruments is heard pure, in seconds.
export function evenTimes(count, duration) {
  const first = -1e-4; // so that a note at 0 s lies after it
  return Array.from({ length: count }, (_, i) => first + ((duration - first) * i) / Math.max(count - 1, 1));
}

// The latent at a time between instruments.
export function latentAt(time, latents, times) {
  if (latents.length === 1) return latents[0];
  const after = times.findIndex((one) => one >= time);
  const left = Math.min(Math.max((after < 0 ? times.length : after) - 1, 0), times.length - 2);
  const share = (time - times[left]) / (times[left + 1] - times[left]);
  return slerp(latents[left], latents[left + 1], Math.min(Math.max(share, 0), 1));
}
