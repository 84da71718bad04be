// The XY pad: a place between four corners, by pointer or by two sliders.

const GRID = 32; // places a side: near ones meet again, and are ready then
const ROWS = [["Top left", "Top right"], ["Bottom left", "Bottom right"]];

export class Pad {
  // `move(x, y, done)` is told of each new place, `done` once it is chosen;
  // `change(corner, how)` of a corner's buttons, `how` being "new" or "take".
  constructor(move, change) {
    this.move = move;
    this.root = document.querySelector("#pad");
    this.handle = document.querySelector("#handle");
    this.inputs = { x: document.querySelector("#pad-x"), y: document.querySelector("#pad-y") };
    document.querySelectorAll(".corners").forEach((row, r) => {
      row.append(...ROWS[r].map((name, c) => corner(name, (how) => change(2 * r + c, how))));
    });
    this.place = { x: 0.5, y: 0.5 };
    this.root.addEventListener("pointerdown", (event) => {
      this.root.setPointerCapture(event.pointerId);
      this.#point(event, false);
    });
    this.root.addEventListener("pointermove", (event) => {
      if (this.root.hasPointerCapture(event.pointerId)) this.#point(event, false);
    });
    this.root.addEventListener("pointerup", (event) => this.#point(event, true));
    for (const [axis, input] of Object.entries(this.inputs)) {
      input.addEventListener("input", () => this.#go({ ...this.place, [axis]: Number(input.value) }, false));
      input.addEventListener("change", () => this.#go(this.place, true));
    }
  }

  #point(event, done) {
    const box = this.root.getBoundingClientRect();
    this.#go({ x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height }, done);
  }

  #go(to, done) {
    const snap = (value) => Math.round(Math.min(Math.max(value, 0), 1) * GRID) / GRID;
    const place = { x: snap(to.x), y: snap(to.y) };
    const moved = place.x !== this.place.x || place.y !== this.place.y;
    this.place = place;
    this.handle.style.left = `${100 * place.x}%`;
    this.handle.style.top = `${100 * place.y}%`;
    this.inputs.x.value = place.x;
    this.inputs.y.value = place.y;
    if (moved || done) this.move(place.x, place.y, done);
  }
}

function corner(name, change) {
  const pair = document.createElement("div");
  for (const [how, label, title] of [
    ["new", "New", `${name}: a new random sound`],
    ["take", "Set", `${name}: the present sound`],
  ]) {
    const button = document.createElement("button");
    button.textContent = label;
    button.title = title;
    button.setAttribute("aria-label", title);
    button.addEventListener("click", () => change(how));
    pair.append(button);
  }
  return pair;
}
