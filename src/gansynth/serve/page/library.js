// Instruments that were kept, in this browser, for this model.

const LONGEST = 100;

export class Library {
  // `choose(instrument)` is told which one to play.
  constructor(sha256, choose) {
    this.key = `gansynth ${sha256}`;
    this.choose = choose;
    this.root = document.querySelector("#kept");
    this.kept = this.#read();
    this.draw();
  }

  keep(...instruments) {
    for (const { name, latent } of instruments) {
      this.kept = this.kept.filter((one) => one.latent !== latent);
      this.kept.unshift({ name: name.slice(0, LONGEST), latent });
    }
    this.#write();
  }

  // Give the playing instrument its name where it is kept.
  rename(latent, name) {
    const found = this.kept.find((one) => one.latent === latent);
    if (found && name.trim()) {
      found.name = name.slice(0, LONGEST);
      this.#write();
    }
  }

  // Mark the sound that plays.
  mark(latent) {
    this.latent = latent;
    [...this.root.children].forEach((item, i) => {
      item.firstChild.setAttribute("aria-current", this.kept[i].latent === latent);
    });
  }

  draw() {
    this.root.replaceChildren(...this.kept.map((one) => {
      const item = document.createElement("li");
      const play = document.createElement("button");
      play.textContent = one.name;
      play.setAttribute("aria-current", one.latent === this.latent);
      play.addEventListener("click", () => this.choose(one));
      const drop = document.createElement("button");
      drop.textContent = "✕";
      drop.title = "Delete";
      drop.setAttribute("aria-label", `Delete ${one.name}`);
      drop.addEventListener("click", () => {
        const place = this.kept.indexOf(one);
        this.kept = this.kept.filter((other) => other !== one);
        this.#write();
        const left = this.root.children[Math.min(place, this.kept.length - 1)];
        (left?.lastChild ?? document.querySelector("#keep")).focus();
      });
      item.append(play, drop);
      return item;
    }));
  }

  #read() {
    try {
      const found = JSON.parse(localStorage.getItem(this.key) ?? "[]");
      return found.filter((one) => typeof one.name === "string" && typeof one.latent === "string");
    } catch {
      return [];
    }
  }

  #write() {
    try {
      localStorage.setItem(this.key, JSON.stringify(this.kept));
    } finally {
      this.draw();
    }
  }
}
