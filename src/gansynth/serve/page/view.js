// What is seen: the level, the last note's rainbowgram, keys that are ready, messages.

import { pictureAddress } from "./api.js";

const FLOOR = -60; // dB
const FALL = 24; // dB a second
const MESSAGE = 9000; // ms

const find = (selector) => document.querySelector(selector);

export function showLevel(player) {
  const meter = find("#level");
  const bar = meter.firstElementChild;
  let shown = FLOOR;
  let last = performance.now();
  let told = 0;
  const frame = (now) => {
    const level = 20 * Math.log10(Math.max(player.peak(), 1e-6));
    shown = Math.min(Math.max(level, shown - (FALL * (now - last)) / 1000, FLOOR), 0);
    last = now;
    bar.style.clipPath = `inset(0 ${(100 * shown) / FLOOR}% 0 0)`;
    if (now - told > 500) {
      meter.setAttribute("aria-valuenow", Math.round(shown));
      told = now;
    }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

let drawing;

// A rainbowgram is drawn for the note that playing stops at.
export function showNote(latent, pitch, layer, words) {
  clearTimeout(drawing);
  drawing = setTimeout(async () => {
    const mine = drawing;
    const address = await pictureAddress(latent, pitch, layer).catch(() => null); // told where it plays
    if (!address || mine !== drawing) return;
    const image = find("#rainbowgram");
    image.onload = () => {
      image.hidden = false;
      image.alt = `Rainbowgram of ${words}: time from left to right, pitch upwards`;
      find("#caption").textContent = words;
    };
    image.src = address;
  }, 250);
}

let isLoading = false;

// An engine that must be loaded first: words, and the share that is done; no words where it is ready.
export function showLoading(words, share) {
  isLoading = words !== "";
  if (!isLoading) return;
  find("#loading").value = share;
  find("#loading").hidden = false;
  find("#ready").textContent = share < 1 ? `${words}: ${Math.floor(100 * share)} %` : words;
}

// Keys that are still fetched play too: they come a moment later.
export function showReady(count, total) {
  if (isLoading) return;
  find("#loading").value = count / total;
  find("#loading").hidden = count === total;
  find("#ready").textContent = count === total ? "all keys ready" : `fetching keys: ${count} of ${total}`;
}

export function showAway(isAway) {
  find("#away").hidden = !isAway;
}

let hiding;

export function showMessage(words) {
  const place = find("#message");
  place.textContent = words;
  place.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { place.hidden = true; }, MESSAGE);
}
