// Keeps the page for when there is no network, and makes it cross-origin isolated, so that the model
// may use threads, wherever a host doesn't do that itself. The large files are kept by store.js.

const VERSION = "{version}";
const FILES = {files};
const NAME = `gansynth page ${self.registration.scope} ${VERSION}`;
const RUNTIME = /^runtime\/.*\.wasm$/; // store.js puts it there
const ISOLATED = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
};

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(NAME).then((cache) => (
    cache.addAll(FILES.map((path) => new Request(path, { cache: "no-cache" })))
  )));
});

self.addEventListener("activate", (event) => {
  const isOld = (name) => name.startsWith(`gansynth page ${self.registration.scope} `) && name !== NAME;
  event.waitUntil(caches.keys()
    .then((names) => Promise.all(names.filter(isOld).map((name) => caches.delete(name))))
    .then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || !request.url.startsWith(self.registration.scope)) return;
  const path = url.pathname.slice(new URL(self.registration.scope).pathname.length) || "./";
  if (FILES.includes(path)) event.respondWith(answer(request, path));
  else if (RUNTIME.test(path)) event.respondWith(runtime(request));
});

// As it is kept, with nothing changed: then Chromium keeps its compiled code too.
async function runtime(request) {
  const kept = await caches.open(`gansynth files ${self.registration.scope}`);
  return (await kept.match(request.url)) ?? fetch(request);
}

async function answer(request, path) {
  const cache = await caches.open(NAME);
  const found = (await cache.match(path)) ?? (await fetch(request));
  const headers = new Headers(found.headers);
  for (const [name, value] of Object.entries(ISOLATED)) headers.set(name, value);
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}
