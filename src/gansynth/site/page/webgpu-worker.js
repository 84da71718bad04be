// The model on a graphics processor, in a worker of its own: what breaks here breaks nothing else.
//
//   in   { open: { model, controlled, software } }, once; then { note }, one after the other
//   out  { result } or { error }, of each; { lost }, at any time

import { create, processor, start, waveOf } from "./session.js";
import { kept } from "./store.js";

let notes;

self.addEventListener("message", async ({ data }) => {
  try {
    if (data.open) self.postMessage({ result: await open(data.open) });
    else {
      const wave = await waveOf(notes, data.note);
      self.postMessage({ result: wave }, [wave.buffer]);
    }
  } catch (error) {
    self.postMessage({ error: error.message });
  }
});

// What the processor is called.
async function open({ model, controlled, software }) {
  const { vendor, architecture } = await processor(software);
  const { webgpu, notes: graph, weights } = model.files;
  const [binary, bytes, halves] = await Promise.all([webgpu, graph, weights].map(kept));
  if (!binary || !bytes || !halves) throw new Error("this browser doesn't keep the instrument's files");
  const env = await start(model, "webgpu", { binary, controlled, threads: 1 });
  notes = await create(bytes, halves, { executionProviders: ["webgpu"], logSeverityLevel: 3 });
  const device = await env.webgpu.device;
  device.lost.then(({ message }) => self.postMessage({ lost: message || "it went away" }));
  return [vendor, architecture].filter(Boolean).join(" ") || "unnamed";
}
