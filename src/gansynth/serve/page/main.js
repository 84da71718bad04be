// The page: which instrument plays, where it came from, and who presses its keys.

import { get, post } from "./api.js";
import { Player } from "./audio.js";
import { Bank } from "./bank.js";
import { setUpFiles } from "./files.js";
import { Keyboard, pitchName } from "./keyboard.js";
import { Library } from "./library.js";
import { Pad } from "./pad.js";
import { Sliders } from "./sliders.js";
import { showLevel, showMessage, showNote, showReady } from "./view.js";
import { connect } from "./webmidi.js";

const SETTLED = 250; // ms without a change, after which the whole keyboard is fetched
const MOST_UNDO = 100;
// ms that a key is held before its longer note is fetched: the two are alike for some 2 s.
const LONG_AFTER = 700;

const find = (selector) => document.querySelector(selector);
const fail = (error) => error.name !== "AbortError" && showMessage(error.message);

const model = await get("api/model").catch((error) => {
  showMessage(error.message);
  throw error;
});
find("#model").textContent = `${model.name}, ${model.pitches.length} keys`;
document.title = `${model.name} – gansynth`;

export const player = new Player(model.release_seconds);
export const bank = new Bank(player, model.pitches);
showLevel(player);

// --- the instrument ---------------------------------------------------------------------------

// `base` is the latent before the sliders, `latent` the one that plays.
let instrument = { name: "", base: "", latent: "", positions: {} };
const past = [];
const held = new Map(); // key -> { pitch, voice, lifted }
let lastPitch = 60;
let drawn = 0;
let settling;
// Where undo goes back to: what played before a pad or slider was taken hold of.
let before = null;

const library = new Library(model.sha256, (one) => choose({ ...one, base: one.latent, positions: {} }));

function choose(next, { undo = true } = {}) {
  if (undo && instrument.latent && next.latent !== instrument.latent) remember(instrument);
  before = null;
  take(next);
  settle();
}

function remember(one) {
  past.push(one);
  if (past.length > MOST_UNDO) past.shift();
  find("#undo").disabled = false;
}

// Play on with another sound: what is held goes over to it.
function take(next) {
  instrument = next;
  find("#name").value = next.name;
  sliders.set(next.positions);
  find("#export").href = `api/sidecars/${next.latent}?${new URLSearchParams({ name: next.name })}`;
  library.draw(next.latent);
  const link = new URLSearchParams({ model: model.sha256.slice(0, 12), name: next.name, latent: next.latent });
  history.replaceState(null, "", `#${link}`);
  for (const note of held.values()) {
    bank.note(next.latent, note.pitch).then((buffer) => {
      if (instrument.latent !== next.latent || !note.voice) return;
      player.replace(note.voice, buffer);
      showNote(next.latent, note.pitch, `${pitchName(note.pitch)}, ${next.name}`);
    }).catch(fail);
  }
}

function settle() {
  clearTimeout(settling);
  settling = setTimeout(() => bank.fill(instrument.latent, lastPitch), before ? SETTLED : 0);
}

bank.onerror = fail;
bank.onready = (latent, notes) => {
  if (latent !== instrument.latent) return;
  keyboard.show(notes);
  showReady(notes.size, model.pitches.length);
};

// Changes while a pad or slider moves: one request at a time, the latest wins.
const change = (() => {
  let wanted = null;
  let busy = false;
  return async (path, body, make, done) => {
    before ??= instrument;
    wanted = { path, body, make, done: done || wanted?.done };
    if (busy) return;
    busy = true;
    try {
      while (wanted) {
        const now = wanted;
        wanted = null;
        const { latents: [latent] } = await post(now.path, now.body);
        take(now.make(latent));
        if (now.done && !wanted) {
          if (before && before.latent !== latent) remember(before);
          bank.fill(latent, lastPitch);
          before = null;
        } else {
          settle();
        }
      }
    } catch (error) {
      fail(error);
    } finally {
      busy = false;
    }
  };
})();

const sliders = new Sliders((positions, done) => {
  const { base, name } = instrument;
  change("api/instruments/along", { latent: base, positions },
    (latent) => ({ name, base, latent, positions: { ...positions } }), done);
});

let corners = [];
const pad = new Pad(
  (x, y, done) => change("api/instruments/between", { corners, x, y },
    (latent) => ({ name: `pad ${x.toFixed(2)} ${y.toFixed(2)}`, base: latent, latent, positions: {} }), done),
  async (corner, how) => {
    try {
      corners[corner] = how === "take" ? instrument.latent : await random();
      const { x, y } = pad.place;
      pad.move(x, y, true);
    } catch (error) {
      fail(error);
    }
  },
);

async function random() {
  const family = find("#family").value;
  const { latents: [latent] } = family
    ? await post("api/instruments/of-family", { family, count: 1 })
    : await post("api/instruments/random", { count: 1 });
  return latent;
}

for (const family of model.families) find("#family").append(new Option(family, family));
find("#family-label").hidden = model.families.length === 0;

const fresh = (latent, name) => ({ name, base: latent, latent, positions: {} });

find("#new").addEventListener("click", async () => {
  try {
    const family = find("#family").value || "sound";
    choose(fresh(await random(), `${family} ${++drawn}`));
  } catch (error) {
    fail(error);
  }
});
find("#near").addEventListener("click", async () => {
  try {
    const body = { latent: instrument.latent, distance: Number(find("#distance").value), count: 1 };
    const { latents: [latent] } = await post("api/instruments/near", body);
    choose(fresh(latent, `like ${instrument.name.replace(/^(like )+/, "")}`));
  } catch (error) {
    fail(error);
  }
});
find("#undo").addEventListener("click", () => {
  choose(past.pop(), { undo: false });
  find("#undo").disabled = past.length === 0;
});
find("#keep").addEventListener("click", () => {
  library.keep(instrument);
  library.draw(instrument.latent);
});
find("#name").addEventListener("change", ({ target }) => {
  const name = target.value.trim() || "unnamed";
  library.rename(instrument.latent, name);
  take({ ...instrument, name });
});
find("#link").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    find("#link").textContent = "Copied";
    setTimeout(() => { find("#link").textContent = "Copy link"; }, 1500);
  } catch {
    showMessage("The link is in the address bar; this browser doesn't let a page copy it.");
  }
});
setUpFiles({
  model,
  current: () => instrument,
  corners: () => corners,
  imported: (found) => {
    library.keep(...found.toReversed());
    choose(fresh(found[0].latent, found[0].name));
  },
  message: showMessage,
});

// --- the keys ---------------------------------------------------------------------------------

const keyboard = new Keyboard(find("#piano"), model.pitches, press, release);

async function press(key, pitch, velocity) {
  if (!model.pitches.includes(pitch) || held.has(key)) return;
  player.wake();
  lastPitch = pitch;
  const note = { pitch, voice: null };
  held.set(key, note);
  keyboard.light(pitch, true);
  const { latent, name } = instrument;
  try {
    // No waiting for what is here: a promise would cost a frame.
    const buffer = bank.have(latent, pitch) ?? (await bank.note(latent, pitch));
    if (held.get(key) !== note) return; // let go before it came
    note.voice = player.start(buffer, pitch, velocity);
    showNote(latent, pitch, `${pitchName(pitch)}, ${name}`);
    setTimeout(() => lengthen(key, note), LONG_AFTER);
  } catch (error) {
    fail(error);
  }
}

// A key that stays down: its note goes on beyond what the model makes of a held note.
async function lengthen(key, note) {
  if (held.get(key) !== note || model.hold_seconds < 2) return;
  try {
    const { latent } = instrument;
    const buffer = await bank.long(latent, note.pitch, model.longest_seconds / 2);
    if (instrument.latent === latent) player.replace(note.voice, buffer);
  } catch (error) {
    fail(error);
  }
}

function release(key) {
  const note = held.get(key);
  if (!note) return;
  held.delete(key);
  keyboard.light(note.pitch, false);
  player.stop(note.voice);
}

function pedal(down) {
  find("#pedal").setAttribute("aria-pressed", down);
  player.setPedal(down);
}

function releaseAll() {
  for (const key of [...held.keys()]) release(key);
}

function silence() {
  releaseAll();
  pedal(false);
  player.silence();
}

const showOctave = (base) => {
  find("#octave").textContent = `${pitchName(base)} is at A`;
};
keyboard.onshift = showOctave;
showOctave(keyboard.base);
find("#octave-down").addEventListener("click", () => keyboard.shift(-1));
find("#octave-up").addEventListener("click", () => keyboard.shift(1));
find("#pedal").addEventListener("click", () => pedal(!player.pedal));
find("#webmidi").addEventListener("click", async () => {
  player.wake();
  try {
    await connect({ press, release, pedal, releaseAll, silence }, (words) => {
      find("#webmidi-note").textContent = words;
    });
  } catch (error) {
    fail(error);
  }
});
window.addEventListener("pointerdown", () => player.wake(), { capture: true });
window.addEventListener("blur", releaseAll);

// --- the beginning: the link's instrument, or a random one --------------------------------------

async function begin() {
  const untouched = instrument;
  const { latents } = await post("api/instruments/random", { count: 5 });
  corners = latents.slice(1);
  if (instrument !== untouched) return; // someone was faster
  const link = new URLSearchParams(location.hash.slice(1));
  if (link.has("latent")) {
    const latent = link.get("latent");
    try {
      await get(`api/sidecars/${encodeURIComponent(latent)}`); // refused in words if it is none
      if (link.get("model") !== model.sha256.slice(0, 12)) {
        showMessage("This link is of another model; here it sounds different.");
      }
      choose(fresh(latent, (link.get("name") || "from a link").slice(0, 80)));
      return;
    } catch (error) {
      fail(error);
    }
  }
  choose(fresh(latents[0], `sound ${++drawn}`));
}

begin().catch(fail);
window.addEventListener("hashchange", begin);
