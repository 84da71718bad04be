// What comes from files and goes to files: sounds, MIDI, audio, samplers.

import { exportSfz, readSidecar, render } from "./api.js";
import { setUpRoll } from "./roll.js";

const MIDI = /\.(mid|midi|kar|rmi|smf)$/i;

const find = (selector) => document.querySelector(selector);

const SCALA = /\.scl$/i;

// `current()` gives the sound, `corners()` the pad's sounds; `imported(list)` is told of sounds,
// `takeScale(file)` of a scale.
export function setUpFiles({ model, player, bank, current, corners, imported, takeScale, message, fail }) {
  const roll = setUpRoll({ model, player, bank, current, fail, render: (file, how) => start(file, how) });
  for (const chooser of ["#import", "#midi-file"]) {
    find(chooser).addEventListener("change", ({ target }) => {
      const [file] = target.files;
      target.value = "";
      if (file) take(file);
    });
  }
  setUpDrop((file) => take(file));

  // What a file is, its first bytes say.
  async function take(file) {
    const head = await file.slice(0, 64).text().catch(() => "");
    if (head.startsWith("MThd") || head.startsWith("RIFF") || MIDI.test(file.name)) play(file);
    else if (SCALA.test(file.name)) await takeScale(file);
    else if (head.trimStart().startsWith("{") || /\.json$/i.test(file.name)) await read(file);
    else message(`${file.name} is neither a MIDI file nor a sound that was exported as JSON.`);
  }

  async function read(file) {
    try {
      const found = await readSidecar(await readJson(file));
      if (found.other_model) message("These sounds are of another model; here they sound different.");
      imported(found.instruments);
    } catch (error) {
      fail(error);
    }
  }

  find("#sfz").hidden = find("#sfz-words").hidden = !exportSfz;
  find("#sfz-elsewhere").hidden = Boolean(exportSfz);
  find("#sfz").addEventListener("click", () => {
    const { name, latent } = current();
    const job = (...watched) => exportSfz({ name, latent }, ...watched);
    run("#sfz-job", job, fail, ({ files: [file], summary }) => {
      const link = Object.assign(document.createElement("a"), { href: file.url, download: file.name });
      link.click();
      return summary;
    });
  });

  function play(file) {
    if (file.size > model.midi_bytes) {
      message(`${file.name} is larger than ${model.midi_bytes >> 20} MiB; split the piece into parts.`);
      return;
    }
    const arrangement = find("#arrangement").value;
    const sounds = arrangement === "single" ? [current()] : corners();
    roll.open(file, arrangement === "per-track" ? [current()] : sounds);
    start(file, { arrangement, latents: sounds.map((one) => one.latent) });
  }

  function start(file, how) {
    const job = (...watched) => render(file, how, ...watched);
    run("#midi-job", job, fail, (done) => {
      showClip(done);
      return "";
    });
  }
}

// A file may fall anywhere on the page.
function setUpDrop(take) {
  const { classList } = document.body;
  let leaving;
  window.addEventListener("dragover", (event) => {
    event.preventDefault();
    clearTimeout(leaving);
    classList.toggle("dropping", [...event.dataTransfer.types].includes("Files"));
  });
  window.addEventListener("dragleave", () => {
    leaving = setTimeout(() => classList.remove("dropping"), 100); // from one element to another
  });
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    classList.remove("dropping");
    for (const file of event.dataTransfer.files) take(file);
  });
}

async function readJson(file) {
  if (file.size > 4 << 20) throw new Error(`${file.name} is larger than 4 MiB; no sound is.`);
  try {
    return JSON.parse(await file.text());
  } catch {
    throw new Error(`${file.name} isn't a sound's JSON file.`);
  }
}

const stops = new Map();

// `job` is given a signal to stop at, and is told of progress.
async function run(place, job, fail, finish) {
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
  const begun = performance.now();
  try {
    const done = await job(stop.signal, (share, place, length) => {
      if (place) {
        show(0, `place ${place} of ${length} in the queue`);
        return;
      }
      const left = ((performance.now() - begun) / 1000) * (1 / share - 1);
      const words = share > 0.05 && left > 1 ? `, ${Math.ceil(left)} s left` : "";
      show(Math.min(share, 0.999), `${Math.floor(100 * share)} %${words}`);
    });
    show(1, finish(done));
  } catch (error) {
    if (stops.get(place) !== stop) return;
    show(1, stop.signal.aborted ? "stopped" : "");
    if (!stop.signal.aborted) fail(error);
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
  find("#clip").scrollIntoView({ block: "nearest" });
  audio.play().catch(() => {}); // the browser may want a click first
}
