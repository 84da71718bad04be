// The page: which sound plays, where it came from, and who presses its keys.

import {
  along, between, checkLatent, connection, near, random, readModel, sidecarAddress,
} from "./api.js";
import { Player } from "./audio.js";
import { Bank } from "./bank.js";
import { setUpFiles } from "./files.js";
import { Hands } from "./hands.js";
import { Keyboard, pitchName } from "./keyboard.js";
import { Library } from "./library.js";
import { Pad } from "./pad.js";
import { setUpLatency, setUpPlay } from "./play.js";
import { Sliders } from "./sliders.js";
import { copyLink, remembered, setUpSettings } from "./settings.js";
import { Tune } from "./tune.js";
import { tuned } from "./tuning.js";
import { showAway, showLevel, showLoading, showMessage, showNote, showReady } from "./view.js";
import { connect } from "./webmidi.js";

const SETTLED = 250; // ms without a change, after which the whole keyboard is fetched
const MOST_UNDO = 100;
const WHEEL_STEPS = 8;
const EIGHT = 8;

const find = (selector) => document.querySelector(selector);
const fail = (error) => error.name !== "AbortError" && !error.lost && showMessage(error.message);

connection.onaway = (isAway) => (isAway ? showAway(true) : location.reload());
connection.onload = showLoading;
connection.onnotice = showMessage;
connection.onengine = (words) => { find("#model").title = `Notes are made by ${words}.`; };

// A cookie keeps the token from here on; it shouldn't stay in the address and the history.
const here = new URL(location);
if (here.searchParams.has("token")) {
  here.searchParams.delete("token");
  history.replaceState(null, "", here);
}

export const model = await readModel().catch((error) => {
  fail(error);
  if (!error.lost) find("#model").textContent = error.message; // messages go away, this stays
  throw error;
});

connection.onaway = (isAway, back) => {
  showAway(isAway);
  if (isAway) return;
  if (back.sha256 !== model.sha256) showMessage("The server plays another model now: reload the page.");
  else if (sound.latent) settle();
  else begin().catch(fail);
};
find("#model").textContent = `${model.name}, ${model.pitches.length} keys`;
document.title = `${model.name} – gansynth`;

export const player = new Player({
  release: model.release_seconds, hold: model.hold_seconds, note: model.note_seconds,
});
export const bank = new Bank(player, model.pitches, model.velocities);
showLevel(player);
const settings = setUpSettings(player);
const play = setUpPlay({ player, message: showMessage, fail });
const measure = setUpLatency(player);

// --- the sound --------------------------------------------------------------------------------

// `base` is the latent before the sliders, `latent` the one that plays; `pad` is its place there.
let sound = { name: "", base: "", latent: "", positions: {}, pad: null };
const past = [];
const future = [];
let lastPitch = 60;
let lastLayer = null;
let drawn = 0;
let chosen = 0; // how often; what a pad or slider finds for an earlier one comes too late
let settling;
// Where undo goes back to: what played before a pad or slider was taken hold of.
let before = null;

const fresh = (latent, name) => ({ name, base: latent, latent, positions: {}, pad: null });

const library = new Library(model.sha256, (one) => choose(fresh(one.latent, one.name)));

export const hands = new Hands({
  player,
  bank,
  model,
  sound: () => sound,
  tuned: (pitch) => tuned(pitch, play.scale, model.pitches),
  light: (pitch, on) => keyboard.light(pitch, on),
  played: (pitch, layer) => {
    [lastPitch, lastLayer] = [pitch, layer];
    if (!before) showLast();
  },
  fail,
});

const showLast = () => showNote(sound.latent, lastPitch, lastLayer, `${pitchName(lastPitch)}, ${sound.name}`);

// Play on with another sound, or let it be heard.
function choose(next, { remembered = false, heard = true } = {}) {
  if (!remembered && sound.latent && next.latent !== sound.latent) remember(sound);
  before = null;
  chosen += 1;
  take(next);
  settle();
  if (heard && settings.heard) hands.hear();
}

function remember(one) {
  past.push(one);
  if (past.length > MOST_UNDO) past.shift();
  future.length = 0;
  showHistory();
}

function showHistory() {
  find("#undo").disabled = past.length === 0;
  find("#redo").disabled = future.length === 0;
}

function step(from, to) {
  if (!from.length) return;
  to.push(sound);
  choose(from.pop(), { remembered: true });
  showHistory();
}

// What sounds goes over to another sound.
function take(next) {
  sound = next;
  find("#name").value = next.name;
  sliders.set(next.positions);
  pad.show(next.pad);
  hands.follow();
}

// The rest of what a new sound means, once it stays.
function settle() {
  clearTimeout(settling);
  const rest = () => {
    const { name, latent } = sound;
    Object.assign(find("#export"), { href: sidecarAddress(latent, name), download: `${name}.json` });
    library.mark(latent);
    remembered.set(`sound ${model.sha256}`, JSON.stringify({ name, latent }));
    history.replaceState(null, "", `#${new URLSearchParams({ model: model.sha256.slice(0, 12), name, latent })}`);
    if (!before || !player.voices.size) bank.fill(latent, lastPitch); // voices that change come first
  };
  if (before) settling = setTimeout(rest, SETTLED);
  else rest();
}

bank.onerror = fail;
bank.onready = (latent) => {
  if (latent !== sound.latent) return;
  const ready = bank.ready(latent);
  keyboard.show(ready);
  showReady(ready.size, model.pitches.length);
};

// Changes while a pad or slider moves: one request at a time, the latest wins.
const change = (() => {
  let wanted = null;
  let busy = false;
  return async (find, make, done) => {
    bank.stop();
    if (!before) {
      before = sound;
      if (settings.heard) hands.hear(false);
    }
    wanted = { find, make, done: done || wanted?.done, at: chosen };
    if (busy) return;
    busy = true;
    try {
      while (wanted) {
        await hands.ready(); // a place that nobody hears isn't worth the asking
        const now = wanted;
        wanted = null;
        const latent = await now.find();
        if (now.at !== chosen) {
          hands.unhear(false);
          continue;
        }
        take(now.make(latent));
        if (now.done && !wanted) {
          if (before && before.latent !== latent) remember(before);
          before = null;
          hands.unhear(false);
          showLast();
        }
        settle();
      }
    } catch (error) {
      fail(error);
      before = null;
      hands.unhear();
    } finally {
      busy = false;
    }
  };
})();

const sliders = new Sliders((positions, done) => {
  const { base, name, pad: place } = sound;
  change(() => along(base, positions),
    (latent) => ({ name, base, latent, positions: { ...positions }, pad: place }), done);
}, (names) => play.offer(names));

// The modulation wheel or pressure moves a slider from where it is towards its end, in steps, so that
// the notes of a place are there when it comes back.
const wheel = { at: 0, rest: 0, settled: 0 };

function modulate(share) {
  const at = Math.round(share * WHEEL_STEPS) / WHEEL_STEPS;
  if (at === wheel.at || !play.wheel) return;
  if (wheel.at === 0) wheel.rest = sliders.positions()[play.wheel] ?? 0;
  wheel.at = at;
  const to = wheel.rest + at * (1 - wheel.rest);
  sliders.push(play.wheel, to, false);
  clearTimeout(wheel.settled);
  wheel.settled = setTimeout(() => sliders.push(play.wheel, to, true), SETTLED);
}

// --- the pad ----------------------------------------------------------------------------------

let corners = []; // { name, latent }

const cornerPlace = (corner) => ({ x: corner % 2, y: Math.floor(corner / 2) });

const pad = new Pad(
  (x, y, done) => {
    const corner = corners.find((_, i) => cornerPlace(i).x === x && cornerPlace(i).y === y);
    const name = corner?.name ?? `pad ${x.toFixed(2)} ${y.toFixed(2)}`;
    const latents = corners.map((one) => one.latent);
    change(() => between(latents, x, y),
      (latent) => ({ ...fresh(latent, name), pad: { x, y } }), done);
  },
  async (corner, how) => {
    try {
      if (how === "new") setCorner(corner, await draw(), newName());
      if (how === "set") setCorner(corner, sound.latent, sound.name);
      const { name, latent } = corners[corner];
      choose({ ...fresh(latent, name), pad: cornerPlace(corner) }, { heard: how !== "set" });
    } catch (error) {
      fail(error);
    }
  },
);

function setCorner(corner, latent, name) {
  corners = corners.with(corner, { name, latent });
  pad.name(corners);
  // Sounds of the former pad have no place on this one.
  for (const one of [...past, ...future]) one.pad = null;
}

// --- finding ----------------------------------------------------------------------------------

for (const family of model.families) find("#family").append(new Option(family, family));
find("#family-label").hidden = model.families.length === 0;

const draw = async () => (await random(1, find("#family").value))[0];
const newName = () => `${find("#family").value || "sound"} ${++drawn}`;

const onClick = (selector, act) => find(selector).addEventListener("click", async () => {
  try {
    await act();
  } catch (error) {
    fail(error);
  }
});

onClick("#new", async () => choose(fresh(await draw(), newName())));
onClick("#near", async () => {
  const latent = await near(sound.latent, Number(find("#distance").value));
  choose(fresh(latent, `like ${sound.name.replace(/^(like )+/, "")}`));
});
// Some sounds side by side: a click plays one, at once since its note is there.
onClick("#eight", async () => {
  const latents = await random(EIGHT, find("#family").value);
  find("#eight-row").replaceChildren(...latents.map((latent) => {
    const name = newName();
    const button = Object.assign(document.createElement("button"), { textContent: name });
    button.addEventListener("click", () => choose(fresh(latent, name)));
    bank.note(latent, lastPitch, bank.usual).then(() => button.classList.add("ready"), fail);
    return button;
  }));
  find("#eight-row").hidden = false;
});
onClick("#undo", () => step(past, future));
onClick("#redo", () => step(future, past));
onClick("#keep", () => {
  library.keep(sound);
  library.mark(sound.latent);
});
onClick("#link", () => copyLink(model, showMessage));
find("#name").addEventListener("change", ({ target }) => {
  sound = { ...sound, name: target.value.trim() || "unnamed" };
  target.value = sound.name;
  library.rename(sound.latent, sound.name);
  settle();
});
// The keys play again once a name is given or a choice made.
find("#name").addEventListener("keydown", ({ key, target }) => {
  if (key === "Enter" || key === "Escape") target.blur();
});
for (const select of document.querySelectorAll("select")) {
  let byKeys = false; // who walks through the choices stays there
  select.addEventListener("keydown", ({ key }) => { byKeys = key !== "Enter"; });
  select.addEventListener("pointerdown", () => { byKeys = false; });
  select.addEventListener("change", () => byKeys || select.blur());
}
setUpFiles({
  model,
  player,
  bank,
  current: () => sound,
  corners: () => corners,
  imported: (found) => {
    library.keep(...found.toReversed());
    choose(fresh(found[0].latent, found[0].name));
  },
  takeScale: play.takeScale,
  message: showMessage,
  fail,
});

// --- the keys ---------------------------------------------------------------------------------

const keyboard = new Keyboard(find("#piano"), model.pitches,
  (...key) => {
    measure();
    hands.press(...key);
  }, (key) => hands.release(key));

keyboard.onshift = (base) => {
  const [low, high] = keyboard.shown.map(pitchName);
  find("#octave").textContent = keyboard.hasLetters ? `${pitchName(base)} is at A` : `${low} – ${high}`;
};
onClick("#octave-down", () => keyboard.shift(-1));
onClick("#octave-up", () => keyboard.shift(1));

function pedal(down) {
  find("#pedal").setAttribute("aria-pressed", down);
  player.setPedal(down);
}

function hold(on) {
  find("#hold").setAttribute("aria-pressed", on);
  hands.hold(on);
}

function silence() {
  hold(false);
  pedal(false);
  hands.silence();
}

onClick("#pedal", () => pedal(!player.pedal));
onClick("#hold", () => hold(!hands.holding));

const tune = new Tune({
  hands,
  pitches: model.pitches,
  fetch: (pitch) => bank.note(sound.latent, pitch, bank.usual),
  onchange: (isPlaying) => {
    find("#tune").setAttribute("aria-pressed", isPlaying);
    find("#tune").textContent = isPlaying ? "Stop the tune" : "Play a tune";
  },
});
onClick("#tune", () => {
  player.wake();
  return tune.playing ? tune.stop() : tune.play();
});

onClick("#webmidi", async () => {
  player.wake();
  const them = {
    press: (...key) => hands.press(...key),
    release: (key) => hands.release(key),
    releaseAll: () => hands.releaseAll(),
    sostenuto: (down) => player.setSostenuto(down),
    bend: (channel, semitones) => player.bend(channel, semitones),
    pedal, silence, modulate,
  };
  await connect(them, (words) => { find("#webmidi-note").textContent = words; });
});
// Touches that the browser takes for real ones: only these may wake audio.
for (const kind of ["pointerdown", "pointerup", "touchend", "keydown"]) {
  window.addEventListener(kind, () => player.wake(), { capture: true, passive: true });
}
window.addEventListener("blur", () => hands.releaseAll());

// --- the beginning: the link's sound, or a random one -------------------------------------------

async function begin() {
  const untouched = sound;
  const latents = await random(5);
  if (sound !== untouched) return; // someone was faster
  const first = `sound ${++drawn}`;
  corners = latents.slice(1).map((latent) => ({ name: `sound ${++drawn}`, latent }));
  pad.name(corners);
  const link = new URLSearchParams(location.hash.slice(1));
  if (link.has("latent")) {
    const latent = link.get("latent");
    try {
      await checkLatent(latent); // refused in words if it is none
      if (link.get("model") !== model.sha256.slice(0, 12)) {
        showMessage("This link is of another model; here it sounds different.");
      }
      choose(fresh(latent, (link.get("name") || "from a link").slice(0, 80)), { heard: false });
      return;
    } catch (error) {
      fail(error);
    }
  }
  const kept = await lastSound();
  choose(kept ?? fresh(latents[0], first), { heard: false });
}

// What played at the last visit.
async function lastSound() {
  try {
    const { name, latent } = JSON.parse(remembered.get(`sound ${model.sha256}`));
    await checkLatent(latent);
    return fresh(latent, String(name).slice(0, 80));
  } catch {
    return null;
  }
}

begin().catch(fail);
window.addEventListener("hashchange", () => begin().catch(fail));
