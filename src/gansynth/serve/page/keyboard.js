// The piano on the page, played by pointers (many at once), by the computer's keys, and by focus.

const NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];
const BLACK = new Set([1, 3, 6, 8, 10]);
// Places on the keyboard, whatever letters are printed there: a piano's octave and a half.
const ROW = ["KeyA", "KeyW", "KeyS", "KeyE", "KeyD", "KeyF", "KeyT", "KeyG", "KeyY", "KeyH", "KeyU",
  "KeyJ", "KeyK", "KeyO", "KeyL", "KeyP", "Semicolon", "Quote"];
const VELOCITY = 100;
const NARROWEST = { mouse: 20, finger: 44 }; // pixels of a white key
// Where fingers play, or where there is no room for a computer's keyboard.
const SMALL = matchMedia("(pointer: coarse), (max-width: 900px), (max-height: 500px)");

export const pitchName = (pitch) => `${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1}`;
const isBlack = (pitch) => BLACK.has(pitch % 12);

export class Keyboard {
  // `press(key, pitch, velocity)` and `release(key)` are told of keys of any origin, by an
  // identity that is the same for both.
  constructor(root, pitches, press, release) {
    Object.assign(this, { root, press, release });
    this.known = new Set(pitches);
    [this.lowest, this.highest] = [pitches[0], pitches.at(-1)];
    this.base = Math.min(Math.max(60, this.lowest), Math.max(this.lowest, this.highest - 12));
    this.base -= this.base % 12;
    this.buttons = new Map();
    this.pointers = new Map(); // pointer -> pitch
    this.counts = new Map(); // pitch -> how many hold it
    this.onshift = () => {};
    new ResizeObserver(() => this.draw()).observe(root);
    SMALL.addEventListener("change", () => this.draw());
    this.#listen();
  }

  // Whether there is a keyboard of letters to speak of.
  get hasLetters() {
    return !SMALL.matches;
  }

  shift(octaves) {
    const base = this.base + 12 * octaves;
    if (base + 12 <= this.lowest || base > this.highest) return;
    this.base = base;
    this.draw();
  }

  // Show which keys sound at once.
  show(ready) {
    this.ready = ready;
    for (const [pitch, button] of this.buttons) button.classList.toggle("ready", ready.has(pitch));
  }

  light(pitch, on) {
    const count = Math.max(0, (this.counts.get(pitch) ?? 0) + (on ? 1 : -1));
    this.counts.set(pitch, count);
    this.buttons.get(pitch)?.classList.toggle("on", count > 0);
  }

  draw() {
    const narrowest = SMALL.matches ? NARROWEST.finger : NARROWEST.mouse;
    const most = Math.max(4, Math.floor(this.root.clientWidth / narrowest)); // white keys
    const all = [];
    for (let p = this.lowest; p <= this.highest; p++) all.push(p);
    let shown = all;
    if (all.filter((p) => !isBlack(p)).length > most) {
      // A window of whole octaves around the computer's keys, or of what an octave has room for.
      const octaves = Math.max(1, Math.floor((most - 1) / 7));
      const wanted = Math.min(this.base - 12 * Math.floor((octaves - 1) / 2), this.highest - 12 * octaves);
      const start = Math.max(wanted, this.lowest);
      shown = all.filter((p) => p >= start && p <= start + 12 * octaves);
      while (shown.filter((p) => !isBlack(p)).length > most || isBlack(shown.at(-1))) shown.pop();
    }
    this.shown = [shown[0], shown.at(-1)];
    const whites = shown.filter((p) => !isBlack(p));
    const step = 100 / whites.length;
    const focused = this.root.contains(document.activeElement) && document.activeElement.dataset.pitch;
    this.buttons.clear();
    let left = isBlack(shown[0]) ? step / 2 : 0;
    this.root.replaceChildren(...shown.map((pitch) => {
      const button = document.createElement("button");
      const black = isBlack(pitch);
      button.className = black ? "black" : "white";
      button.style.left = `${black ? left - step * 0.3 : left}%`;
      button.style.width = `${black ? step * 0.6 : step}%`;
      if (!black) left += step;
      button.dataset.pitch = pitch;
      button.tabIndex = -1;
      button.disabled = !this.known.has(pitch);
      button.setAttribute("aria-label", pitchName(pitch).replace("#", " sharp "));
      button.classList.toggle("ready", this.ready?.has(pitch) ?? false);
      button.classList.toggle("on", (this.counts.get(pitch) ?? 0) > 0);
      if (pitch % 12 === 0) {
        const label = document.createElement("span");
        label.textContent = pitchName(pitch);
        button.append(label);
      }
      this.buttons.set(pitch, button);
      return button;
    }));
    const first = this.buttons.get(Number(focused)) ?? this.buttons.get(this.base) ?? this.root.firstChild;
    first.tabIndex = 0;
    if (focused) first.focus();
    this.onshift(this.base);
  }

  #listen() {
    const { root } = this;
    root.addEventListener("pointerdown", (event) => {
      event.target.releasePointerCapture?.(event.pointerId); // touch would stay with its first key
      this.#point(event);
    });
    root.addEventListener("pointermove", (event) => {
      if (this.pointers.has(event.pointerId)) this.#point(event);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      window.addEventListener(kind, (event) => this.#lift(event.pointerId));
    }
    root.addEventListener("contextmenu", (event) => event.preventDefault());
    root.addEventListener("keydown", (event) => this.#focusKey(event));
    window.addEventListener("keydown", (event) => {
      if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (event.code === "KeyZ" || event.code === "KeyX") this.shift(event.code === "KeyX" ? 1 : -1);
      const pitch = this.base + ROW.indexOf(event.code);
      if (ROW.includes(event.code)) {
        event.preventDefault(); // Firefox searches at '
        if (this.known.has(pitch)) this.press(event.code, pitch, VELOCITY);
      }
    });
    window.addEventListener("keyup", (event) => {
      this.release(event.code);
      this.release(`focus ${event.key}`); // wherever the focus is by now
    });
  }

  // Lower on the key is louder, as on a real one it is easier.
  #point(event) {
    const button = document.elementFromPoint(event.clientX, event.clientY)?.closest("#piano button");
    const pitch = button && !button.disabled ? Number(button.dataset.pitch) : null;
    if (this.pointers.get(event.pointerId) === pitch) return;
    this.#lift(event.pointerId);
    this.pointers.set(event.pointerId, pitch);
    if (pitch === null) return;
    const box = button.getBoundingClientRect();
    const depth = (event.clientY - box.top) / box.height;
    this.press(`pointer ${event.pointerId}`, pitch, Math.round(50 + 77 * Math.min(Math.max(depth, 0), 1)));
  }

  #lift(pointer) {
    if (this.pointers.delete(pointer)) this.release(`pointer ${pointer}`);
  }

  #focusKey(event) {
    const pitch = Number(document.activeElement.dataset.pitch);
    const steps = { ArrowRight: 1, ArrowUp: 12, ArrowLeft: -1, ArrowDown: -12 };
    if (event.key in steps) {
      const next = this.buttons.get(pitch + steps[event.key]);
      if (next && !next.disabled) {
        document.activeElement.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
      event.preventDefault();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      if (!event.repeat) this.press(`focus ${event.key}`, pitch, VELOCITY);
    }
  }
}

function isTyping(target) {
  return target.matches?.("input[type=text], select, textarea, [contenteditable]");
}
