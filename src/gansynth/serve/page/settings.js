// What a visitor sets once: volume, whether sounds play by themselves; and links that others can use.

const VOLUME = 0.63; // of the slider: a gain of 0.4
const COPIED = 1500; // ms

const find = (selector) => document.querySelector(selector);

export const remembered = {
  get(name) {
    try { return localStorage.getItem(`gansynth ${name}`); } catch { return null; }
  },
  set(name, value) {
    try { localStorage.setItem(`gansynth ${name}`, value); } catch { /* a private window */ }
  },
};

export function setUpSettings(player) {
  const volume = find("#volume");
  volume.value = Number(remembered.get("volume") ?? VOLUME);
  player.setVolume(Number(volume.value));
  volume.addEventListener("input", () => {
    player.setVolume(Number(volume.value));
    remembered.set("volume", volume.value);
  });
  const heard = find("#heard");
  heard.checked = remembered.get("heard") !== "false";
  heard.addEventListener("change", () => remembered.set("heard", heard.checked));
  return { get heard() { return heard.checked; } };
}

// A link to the present sound, which is in the address; in words, who can open it.
export async function copyLink(model, say) {
  const link = new URL(location.href);
  const isLocal = /^(localhost|127\.|\[::1\])/.test(link.hostname);
  if (model.addresses.length) {
    const others = new URL(model.addresses[0]);
    if (isLocal) link.host = others.host;
    link.search = others.search; // the server's token
  }
  try {
    await navigator.clipboard.writeText(link.href);
    find("#link").textContent = "Copied";
    setTimeout(() => { find("#link").textContent = "Copy link"; }, COPIED);
  } catch {
    say(`This browser doesn't let a page copy. The link: ${link.href}`);
    return;
  }
  if (isLocal && model.addresses.length) {
    say(`Copied ${link.origin}/…: whoever reaches this machine can play with this link while the server runs.`);
  } else if (isLocal) {
    say("Copied. The link opens on this machine only, since the server listens to nobody else: for "
      + "others, start it with --host 0.0.0.0, or send them “Export JSON”.");
  }
}

// A slider goes back by a double click or tap on its label, or by Delete.
export function onReset(input, label, reset) {
  label.addEventListener("dblclick", reset);
  input.addEventListener("keydown", ({ key }) => key === "Delete" && reset());
}
