// A MIDI file on a timeline: its notes as a piano roll, instruments to drag above it, and listening
// from anywhere.

import { decodeLatent, encodeLatent, latentAt } from "./latents.js";
import { fitPitches, readMidi } from "./midi.js";

const MOST = 16; // instruments
const STEP = 0.1; // s that an arrow moves an instrument
const APART = 0.05; // s at least between two instruments
const SHARES = 16; // places between two instruments, so that notes are met again
const AHEAD = 6; // notes that are fetched before they are due
const SOON = 0.15; // s before the first note
const LATE = 0.75; // of the width, where names go to the left
const RANGE = 12; // semitones that are shown at least

const find = (selector) => document.querySelector(selector);

// `current()` gives the sound that plays; `render(file, { arrangement, latents, times })` makes a clip.
export function setUpRoll({ model, player, bank, current, fail, render }) {
  let file = null;
  let score = null;
  let marks = []; // { name, latent, time }
  let playing = null; // what ends it
  const at = find("#roll-at");
  const canvas = find("#roll-notes");
  new ResizeObserver(() => draw()).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());

  async function open(given, sounds) {
    stop();
    try {
      const read = readMidi(await given.arrayBuffer());
      const { notes } = fitPitches(read.notes, model.pitches);
      if (!notes.length) throw new Error("midi: all notes lie outside the model's pitches.");
      [file, score] = [given, { ...read, notes, duration: Math.max(...notes.map((note) => note.end)) }];
    } catch {
      find("#timeline").hidden = true; // the engine reads more, or says why not
      return;
    }
    const { duration } = score;
    at.max = duration.toFixed(1);
    at.value = 0;
    marks = sounds.map(({ name, latent }, i) => ({ name, latent, time: (duration * i) / Math.max(sounds.length - 1, 1) }));
    find("#timeline").hidden = false;
    draw();
    showMarks();
    showHead();
  }

  function draw() {
    if (!score || !canvas.clientWidth) return;
    const scale = devicePixelRatio;
    const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
    Object.assign(canvas, { width, height });
    const style = getComputedStyle(canvas);
    const ink = canvas.getContext("2d");
    const pitches = score.notes.map((note) => note.pitch);
    const low = Math.min(...pitches) - 1;
    const rows = Math.max(Math.max(...pitches) + 2 - low, RANGE);
    const x = (time) => (width * time) / score.duration;
    ink.fillStyle = style.outlineColor; // properties of our own wouldn't be resolved
    for (const bar of score.bars) ink.fillRect(x(bar), 0, 1, height);
    ink.fillStyle = style.color;
    for (const { start, end, pitch, velocity } of score.notes) {
      ink.globalAlpha = 0.35 + (0.65 * velocity) / 127;
      ink.fillRect(x(start), height * (1 - (pitch - low + 1) / rows), Math.max(x(end - start) - scale, 2), height / rows);
    }
    canvas.setAttribute("aria-label", `Piano roll: ${score.notes.length} notes over ${score.duration.toFixed(1)} s`);
  }

  function showMarks() {
    const focused = marks.findIndex((_, i) => find("#marks").children[i] === document.activeElement);
    find("#marks").replaceChildren(...marks.map((mark) => {
      const button = document.createElement("button");
      place(button, mark);
      button.addEventListener("pointerdown", (event) => button.setPointerCapture(event.pointerId));
      button.addEventListener("pointermove", (event) => {
        if (!button.hasPointerCapture(event.pointerId)) return;
        const box = find("#marks").getBoundingClientRect();
        move(button, mark, (score.duration * (event.clientX - box.left)) / box.width);
      });
      button.addEventListener("keydown", (event) => key(event, button, mark));
      return button;
    }));
    if (focused >= 0) find("#marks").children[Math.min(focused, marks.length - 1)]?.focus();
    find("#roll-add").disabled = marks.length >= MOST;
    say();
  }

  function place(button, { name, time }) {
    const share = time / score.duration;
    button.style.left = `${100 * share}%`;
    button.classList.toggle("late", share > LATE);
    button.textContent = name;
    button.setAttribute("aria-label", `${name} at ${time.toFixed(1)} s`);
  }

  function move(button, mark, time) {
    mark.time = Math.min(Math.max(time, 0), score.duration);
    place(button, mark);
    say();
  }

  function key(event, button, mark) {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (way) {
      const { bars } = score;
      const next = way > 0 ? bars.find((bar) => bar > mark.time + 1e-3) : bars.findLast((bar) => bar < mark.time - 1e-3);
      move(button, mark, event.shiftKey ? next ?? (way > 0 ? score.duration : 0) : mark.time + way * STEP);
      event.preventDefault();
    } else if ((event.key === "Delete" || event.key === "Backspace") && marks.length > 1) {
      marks = marks.filter((one) => one !== mark);
      showMarks();
      event.preventDefault();
    }
  }

  const say = () => {
    find("#roll-note").textContent = inOrder().map(({ name, time }) => `${name} ${time.toFixed(1)} s`).join(", ");
  };

  // The instruments in time, none at the time of another.
  function inOrder() {
    const sorted = marks.map((mark) => ({ ...mark })).sort((a, b) => a.time - b.time);
    for (let i = sorted.length - 2; i >= 0; i -= 1) {
      sorted[i].time = Math.max(Math.min(sorted[i].time, sorted[i + 1].time - APART), 0);
    }
    for (let i = 1; i < sorted.length; i += 1) {
      sorted[i].time = Math.min(Math.max(sorted[i].time, sorted[i - 1].time + APART), score.duration);
    }
    return sorted;
  }

  function showHead() {
    find("#roll-head").style.left = `${(100 * at.value) / score.duration}%`;
    at.setAttribute("aria-valuetext", `${Number(at.value).toFixed(1)} s`);
  }

  // --- listening --------------------------------------------------------------------------------

  function stop() {
    playing?.abort();
    playing = null;
    find("#roll-play").textContent = "Play from here";
    find("#roll-play").setAttribute("aria-pressed", "false");
  }

  async function listen() {
    stop();
    playing = new AbortController();
    const { signal } = playing;
    find("#roll-play").textContent = "Stop";
    find("#roll-play").setAttribute("aria-pressed", "true");
    await player.wake();
    const from = Number(at.value);
    const sounds = inOrder();
    const latents = sounds.map((one) => decodeLatent(one.latent, model.latent_size));
    const times = sounds.map((one) => one.time);
    const notes = score.notes.filter((note) => note.start >= from - 1e-3);
    const fetched = notes.map(() => null);
    const fetch = (i) => {
      if (i >= notes.length || fetched[i]) return fetched[i];
      const { start, pitch, velocity } = notes[i];
      const latent = encodeLatent(latentAt(rounded(start, times), latents, times));
      fetched[i] = bank.struck(latent, pitch, velocity).catch((error) => {
        if (!signal.aborted) fail(error);
        stop();
      });
      return fetched[i];
    };
    await Promise.all(notes.slice(0, AHEAD).map((_, i) => fetch(i)));
    const begun = performance.now() / 1000 + SOON - from;
    const now = () => performance.now() / 1000 - begun;
    const timer = setInterval(() => {
      at.value = now();
      showHead();
    }, 50);
    signal.addEventListener("abort", () => clearInterval(timer));
    for (const [i, note] of notes.entries()) {
      for (let next = i; next < i + AHEAD; next += 1) fetch(next);
      const due = note.start - now();
      if (due > 0) await pause(due, signal);
      if (signal.aborted) return;
      // A late one sounds late, and shorter.
      fetch(i).then((buffer) => sound(buffer, note, Math.max(note.end - now(), 0.05), signal));
    }
    await pause(score.duration - now() + 1, signal);
    if (signal.aborted) return;
    stop();
    at.value = 0;
    showHead();
  }

  function sound(buffer, { pitch, velocity, track }, seconds, signal) {
    if (!buffer || signal.aborted) return;
    const voice = player.start(buffer, pitch, velocity, { channel: `roll ${track}` });
    const end = () => player.stop(voice);
    const timer = setTimeout(end, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      end();
    });
  }

  // --- buttons ----------------------------------------------------------------------------------

  canvas.addEventListener("pointerdown", (event) => {
    const box = canvas.getBoundingClientRect();
    at.value = (score.duration * (event.clientX - box.left)) / box.width;
    showHead();
    if (playing) listen();
  });
  at.addEventListener("input", showHead);
  at.addEventListener("change", () => playing && listen());
  find("#roll-play").addEventListener("click", () => (playing ? stop() : listen().catch(fail)));
  find("#roll-add").addEventListener("click", () => {
    const { name, latent } = current();
    marks.push({ name, latent, time: Number(at.value) });
    showMarks();
  });
  find("#roll-render").addEventListener("click", () => {
    const sounds = inOrder();
    const latents = sounds.map((one) => one.latent);
    if (sounds.length === 1) render(file, { arrangement: "single", latents });
    else render(file, { arrangement: "spaced", latents, times: sounds.map((one) => Math.floor(1000 * one.time) / 1000) });
  });
  return { open };
}

// A time, moved to one of the places between two instruments.
function rounded(time, times) {
  const left = times.findLastIndex((one) => one <= time);
  if (left < 0 || left === times.length - 1) return time;
  const length = times[left + 1] - times[left];
  return times[left] + (Math.round((SHARES * (time - times[left])) / length) / SHARES) * length;
}

function pause(seconds, signal) {
  return new Promise((next) => {
    const timer = setTimeout(next, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      next();
    });
  });
}
