// How it is played: envelope, filter, reverb, what the wheel moves, tuning, recording; remembered.

import { onReset, remembered } from "./settings.js";
import { readScala } from "./tuning.js";
import { encodeWav } from "./wav.js";

const LONGEST_ATTACK = 2; // s
const LONGEST_RELEASE = 4;
const SHORTEST = 0.005;
const LARGEST_SCALE = 1 << 20; // bytes

const find = (selector) => document.querySelector(selector);
// Sliders go in equal ratios from the shortest to the longest.
const seconds = (share, longest) => SHORTEST * (longest / SHORTEST) ** share;
const shareOf = (value, longest) => Math.log(value / SHORTEST) / Math.log(longest / SHORTEST);

export function setUpPlay({ player, message, fail }) {
  const usual = {
    attack: shareOf(player.attack, LONGEST_ATTACK), release: shareOf(player.release, LONGEST_RELEASE), filter: 1, reverb: 0,
  };
  const apply = {
    attack: (share) => { player.attack = seconds(share, LONGEST_ATTACK); },
    release: (share) => { player.release = seconds(share, LONGEST_RELEASE); },
    filter: (share) => player.effects.setFilter(share),
    reverb: (share) => player.effects.setReverb(share),
  };
  const words = {
    attack: (share) => `${(1000 * seconds(share, LONGEST_ATTACK)).toFixed(0)} ms`,
    release: (share) => `${(1000 * seconds(share, LONGEST_RELEASE)).toFixed(0)} ms`,
    filter: (share) => (share < 1 ? `${Math.round(100 * share)} %` : "open"),
    reverb: (share) => `${Math.round(100 * share)} %`,
  };
  for (const name of Object.keys(apply)) {
    const input = find(`#${name}`);
    const set = (value) => {
      input.value = value;
      const share = Number(input.value);
      input.setAttribute("aria-valuetext", words[name](share));
      // A shared release or attack is the model's own until somebody moves it.
      apply[name](share);
    };
    const kept = Number.parseFloat(remembered.get(name));
    input.value = usual[name];
    input.setAttribute("aria-valuetext", words[name](usual[name]));
    if (kept >= 0 && kept <= 1) set(kept);
    input.addEventListener("input", () => {
      set(input.value);
      remembered.set(name, input.value);
    });
    onReset(input, input.closest("label"), () => {
      set(usual[name]);
      remembered.set(name, "");
    });
  }

  const wheel = find("#wheel");
  wheel.addEventListener("change", () => remembered.set("wheel", wheel.value));

  let scale = null;
  const show = () => {
    find("#scale").textContent = scale ? scale.name.slice(0, 60) : "equal temperament";
    find("#scale-off").hidden = !scale;
  };
  const tune = (text) => {
    scale = text ? readScala(text) : null;
    remembered.set("scale", text);
    show();
  };
  try {
    tune(remembered.get("scale") ?? "");
  } catch {
    tune("");
  }
  const takeScale = async (file) => {
    try {
      if (file.size > LARGEST_SCALE) throw new Error(`${file.name} is larger than 1 MiB; no scale is.`);
      tune(await file.text());
      message(`Tuned to ${scale.name.slice(0, 60)}.`);
    } catch (error) {
      fail(error);
    }
  };
  find("#scale-file").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (file) takeScale(file);
  });
  find("#scale-off").addEventListener("click", () => tune(""));

  setUpRecorder(player, message, fail);

  return {
    get scale() { return scale; },
    get wheel() { return wheel.value; },
    takeScale,
    // The sliders that the wheel may move, as [name, title].
    offer(names) {
      wheel.replaceChildren(new Option("nothing", ""), ...names.map(([name, title]) => new Option(title, name)));
      wheel.value = names.some(([name]) => name === remembered.get("wheel")) ? remembered.get("wheel") : names[0]?.[0] ?? "";
    },
  };
}

function setUpRecorder(player, message, fail) {
  const button = find("#record");
  let stop = null;
  const end = async () => {
    const finish = stop;
    stop = null;
    button.setAttribute("aria-pressed", "false");
    button.textContent = "Record";
    const sides = await finish();
    if (!sides[0].length) return;
    const wav = encodeWav(sides, player.context.sampleRate);
    const link = Object.assign(document.createElement("a"), {
      href: URL.createObjectURL(new Blob([wav], { type: "audio/wav" })), download: "gansynth.wav",
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };
  button.addEventListener("click", async () => {
    try {
      player.wake();
      if (stop) {
        await end();
        return;
      }
      stop = await player.effects.record(() => {
        if (!stop) return;
        message("The recording ended after ten minutes.");
        end().catch(fail);
      });
      button.setAttribute("aria-pressed", "true");
      button.textContent = "Stop recording";
    } catch (error) {
      fail(error);
    }
  });
}

// Tells once how long a key takes to sound: from the press to the first sample that leaves.
export function setUpLatency(player) {
  let listening = false;
  return async () => {
    if (listening || !player.running || player.voices.size) return;
    listening = true;
    const pressed = player.context.currentTime;
    try {
      const heard = await player.effects.heard();
      const { baseLatency, outputLatency } = player.context;
      player.latency = heard - pressed + (outputLatency || baseLatency);
      find("#latency").textContent = `Key to sound: ${(1000 * player.latency).toFixed(0)} ms`;
    } catch {
      return; // not where there is no AudioWorklet
    }
    listening = false;
  };
}
