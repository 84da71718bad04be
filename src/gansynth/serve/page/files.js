// What comes from files and goes to files: instruments, MIDI, sound, samplers.

import { post, work } from "./api.js";

const find = (selector) => document.querySelector(selector);

// `current()` gives the instrument, `corners()` the pad's latents; `imported(list)` is told.
export function setUpFiles({ model, current, corners, imported, message }) {
  find("#import").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (!file) return;
    try {
      const found = await post("api/sidecars", await readJson(file));
      if (found.other_model) message("These instruments are of another model; here they sound different.");
      imported(found.instruments);
    } catch (error) {
      message(error.message);
    }
  });

  find("#sfz").addEventListener("click", () => {
    const { name, latent } = current();
    const body = JSON.stringify({ name, latent });
    const options = { body, headers: { "content-type": "application/json" } };
    run("#sfz-job", "api/exports", options, message, ({ files: [file], summary }) => {
      const link = Object.assign(document.createElement("a"), { href: file.url, download: file.name });
      link.click();
      return summary;
    });
  });

  const drop = find("#drop");
  find("#midi-file").addEventListener("change", ({ target }) => {
    if (target.files[0]) play(target.files[0]);
    target.value = "";
  });
  // A file that misses the place must not replace the page.
  window.addEventListener("dragover", (event) => event.preventDefault());
  window.addEventListener("drop", (event) => event.preventDefault());
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) play(event.dataTransfer.files[0]);
  });

  function play(file) {
    if (file.size > model.midi_bytes) {
      message(`${file.name} is larger than ${model.midi_bytes >> 20} MiB; split the piece into parts.`);
      return;
    }
    const arrangement = find("#arrangement").value;
    const latents = arrangement === "single" ? [current().latent] : corners();
    const query = new URLSearchParams({ arrangement, name: file.name });
    for (const latent of latents) query.append("latent", latent);
    const options = { body: file, headers: { "content-type": "audio/midi" } };
    run("#midi-job", `api/renders?${query}`, options, message, (done) => {
      showClip(done);
      return "";
    });
  }
}

async function readJson(file) {
  if (file.size > 4 << 20) throw new Error(`${file.name} is larger than 4 MiB; no instrument is.`);
  try {
    return JSON.parse(await file.text());
  } catch {
    throw new Error(`${file.name} is no JSON file of an instrument.`);
  }
}

const stops = new Map();

async function run(place, path, options, message, finish) {
  stops.get(place)?.abort(); // a new one takes the place of the old one
  const stop = new AbortController();
  stops.set(place, stop);
  const root = find(place);
  const [bar, button, status] = root.children;
  const show = (share, words) => {
    bar.value = share;
    bar.hidden = button.hidden = stop.signal.aborted || share === 1;
    status.textContent = words;
    root.hidden = !words;
  };
  button.onclick = () => stop.abort();
  show(0, "waiting");
  try {
    const done = await work(path, { ...options, signal: stop.signal }, (share) => {
      show(Math.min(share, 0.999), `${Math.floor(100 * share)} %`);
    });
    show(1, finish(done));
  } catch (error) {
    if (stops.get(place) !== stop) return;
    show(1, stop.signal.aborted ? "stopped" : "");
    if (!stop.signal.aborted) message(error.message);
  }
}

function showClip({ files, summary }) {
  const words = Object.assign(document.createElement("p"), { className: "quiet", textContent: summary });
  const audio = Object.assign(document.createElement("audio"), { controls: true, src: files[0].url });
  const row = Object.assign(document.createElement("div"), { className: "row" });
  row.append(...files.map(({ name, url }) => Object.assign(document.createElement("a"), {
    className: "button", href: url, download: name, textContent: `Download ${name.split(".").pop().toUpperCase()}`,
  })));
  find("#clip").replaceChildren(audio, words, row);
  audio.play().catch(() => {}); // the browser may want a click first
}
