// The XY pad: a place between four sounds, by pointer or by two sliders.

const GRID = 32; // places a side: near ones meet again, and are ready then
const ROWS = [["Top left", "Top right"], ["Bottom left", "Bottom right"]];
const SLOP = 6; // pixels that a finger moves sideways before it moves the place: upwards it scrolls

export class Pad {
  // `move(x, y, done)` is told of each new place, `done` once it is chosen;
  // `change(corner, how)` of a corner's buttons, `how` being "hear", "new" or "set".
  constructor(move, change) {
    this.move = move;
    this.root = document.querySelector("#pad");
    this.handle = document.querySelector("#handle");
    this.inputs = { x: document.querySelector("#pad-x"), y: document.querySelector("#pad-y") };
    this.names = [];
    document.querySelectorAll(".corners").forEach((row, r) => {
      row.append(...ROWS[r].map((place, c) => this.#corner(place, (how) => change(2 * r + c, how))));
    });
    this.place = { x: 0.5, y: 0.5 };
    this.#listen();
    for (const [axis, input] of Object.entries(this.inputs)) {
      input.addEventListener("input", () => this.#go({ ...this.place, [axis]: Number(input.value) }, false));
      input.addEventListener("change", () => this.#go(this.place, true));
    }
  }

  // Where the sound is; null: it isn't from the pad.
  show(place) {
    this.handle.hidden = !place;
    if (!place) return;
    this.place = { x: place.x, y: place.y };
    this.handle.style.left = `${100 * place.x}%`;
    this.handle.style.top = `${100 * place.y}%`;
    this.inputs.x.value = place.x;
    this.inputs.y.value = place.y;
  }

  // The names of the four sounds.
  name(corners) {
    corners.forEach(({ name }, i) => {
      this.names[i].textContent = name;
      this.names[i].title = `${name}: play it by itself`;
    });
  }

  #listen() {
    const { root } = this;
    let finger = null; // a touch that may yet become a scroll
    root.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch" && event.target !== this.handle) {
        finger = { id: event.pointerId, x: event.clientX, y: event.clientY };
        return;
      }
      root.setPointerCapture(event.pointerId);
      this.dragging = event.pointerId;
      this.#point(event, false);
    });
    root.addEventListener("pointermove", (event) => {
      if (finger?.id === event.pointerId) {
        const [right, down] = [event.clientX - finger.x, event.clientY - finger.y].map(Math.abs);
        if (right < SLOP || right < down) return;
        finger = null;
        this.dragging = event.pointerId;
      }
      if (this.dragging === event.pointerId) this.#point(event, false);
    });
    root.addEventListener("pointerup", (event) => {
      if (finger?.id === event.pointerId || this.dragging === event.pointerId) this.#point(event, true);
      finger = this.dragging = null;
    });
    root.addEventListener("pointercancel", () => {
      if (this.dragging) this.move(this.place.x, this.place.y, true);
      finger = this.dragging = null;
    });
  }

  #point(event, done) {
    const box = this.root.getBoundingClientRect();
    this.#go({ x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height }, done);
  }

  #go(to, done) {
    const snap = (value) => Math.round(Math.min(Math.max(value, 0), 1) * GRID) / GRID;
    const place = { x: snap(to.x), y: snap(to.y) };
    const moved = this.handle.hidden || place.x !== this.place.x || place.y !== this.place.y;
    this.show(place);
    if (moved || done) this.move(place.x, place.y, done);
  }

  #corner(place, change) {
    const root = document.createElement("div");
    const button = (how, label, title) => {
      const it = Object.assign(document.createElement("button"), { textContent: label, title });
      if (how !== "hear") it.setAttribute("aria-label", title);
      it.addEventListener("click", () => change(how));
      return it;
    };
    const name = button("hear", "", `${place}: play it by itself`);
    name.className = "corner-name";
    this.names.push(name);
    root.append(name, button("new", "New", `${place}: a new random sound`),
      button("set", "Set", `${place}: the sound that plays now`));
    return root;
  }
}
