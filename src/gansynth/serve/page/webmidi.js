// Web MIDI: notes with their velocity, pedals, bends (MPE too), modulation and pressure.

const [MODULATION, DATA, SUSTAIN, SOSTENUTO] = [1, 6, 64, 66];
const [RPN_LOW, RPN_HIGH] = [100, 101];
const [ALL_SOUND_OFF, ALL_NOTES_OFF] = [120, 123];
const [BEND_RANGE, MPE_ZONE] = [0, 6]; // registered parameters
const USUAL_RANGE = 2; // semitones
const MPE_RANGE = 48;
const GATHER = 4; // ms in which the last value of each controller counts
const FLOOD = 2000; // controller messages a second

// `hands` has press(key, pitch, velocity, channel), release(key), pedal(down), sostenuto(down),
// bend(channel, semitones), modulate(share), releaseAll(), silence(). Gives words.
export async function connect(hands, say) {
  if (!navigator.requestMIDIAccess) {
    throw new Error("This browser has no Web MIDI here; it needs localhost or https.");
  }
  const access = await navigator.requestMIDIAccess();
  const known = new Map();
  const update = () => {
    const inputs = [...access.inputs.values()].filter((input) => input.state === "connected");
    for (const input of inputs) {
      if (!known.has(input.id)) known.set(input.id, new Input(input, hands, say));
      const one = known.get(input.id);
      input.onmidimessage = ({ data }) => one.hear(data);
    }
    say(inputs.length ? inputs.map((input) => input.name).join(", ") : "no MIDI keyboard is plugged in");
  };
  access.onstatechange = update;
  update();
}

class Input {
  constructor({ id, name }, hands, say) {
    Object.assign(this, { id, name, hands, say });
    this.channels = Array.from({ length: 16 }, () => ({ rpn: null, range: USUAL_RANGE, bend: 0, manager: null }));
    this.waiting = new Map(); // controller -> what to do, the latest
    this.count = 0;
    this.since = 0;
  }

  hear([status, first, second]) {
    const kind = status & 0xf0;
    const number = status & 0x0f;
    const key = `midi ${this.id} ${number} ${first}`;
    if (kind === 0x90 && second > 0) {
      this.#flush(); // a bend that came before the note holds for it
      this.hands.press(key, first, second, this.#name(number));
    } else if (kind === 0x80 || kind === 0x90) {
      this.hands.release(key);
    } else if (kind === 0xb0 && first >= ALL_SOUND_OFF) {
      if (first === ALL_NOTES_OFF) this.hands.releaseAll();
      if (first === ALL_SOUND_OFF) this.hands.silence();
    } else if (kind === 0xb0 && [SUSTAIN, SOSTENUTO, DATA, RPN_LOW, RPN_HIGH].includes(first)) {
      this.#switch(number, first, second);
    } else if (kind === 0xe0) {
      const share = ((second << 7) + first - 8192) / 8192;
      this.#later(`bend ${number}`, () => this.#bend(number, share));
    } else if (kind === 0xd0 || (kind === 0xb0 && first === MODULATION)) {
      const share = (kind === 0xd0 ? first : second) / 127;
      this.#later("modulation", () => this.hands.modulate(share));
    } else if (kind === 0xa0) {
      this.#later("modulation", () => this.hands.modulate(second / 127));
    }
  }

  #name = (number) => `${this.id} ${number}`;

  #switch(number, controller, value) {
    const channel = this.channels[number];
    if (controller === SUSTAIN) this.hands.pedal(value >= 64);
    else if (controller === SOSTENUTO) this.hands.sostenuto(value >= 64);
    else if (controller === RPN_HIGH) channel.rpn = value === 0 ? 0 : null;
    else if (controller === RPN_LOW && channel.rpn !== null) channel.rpn = value;
    else if (controller === DATA && channel.rpn === BEND_RANGE) this.#range(number, value);
    else if (controller === DATA && channel.rpn === MPE_ZONE) this.#zone(number, value);
  }

  // One for a member of an MPE zone holds for all of its members.
  #range(number, semitones) {
    const { manager } = this.channels[number];
    for (const [i, channel] of this.channels.entries()) {
      if (i === number || (manager !== null && channel.manager === manager)) channel.range = semitones;
    }
  }

  // A zone of MPE: channel 1 and those above it, or channel 16 and those below.
  #zone(number, size) {
    if (number !== 0 && number !== 15) return;
    this.channels.forEach((channel, i) => {
      if (channel.manager === number) channel.manager = null;
      const far = Math.abs(i - number);
      if (far >= 1 && far <= size) Object.assign(channel, { manager: number, range: MPE_RANGE });
    });
  }

  #bend(number, share) {
    this.channels[number].bend = share;
    this.channels.forEach((channel, i) => {
      if (i !== number && channel.manager !== number) return;
      const manager = this.channels[channel.manager];
      const semitones = channel.bend * channel.range + (manager ? manager.bend * manager.range : 0);
      this.hands.bend(this.#name(i), semitones);
    });
  }

  // Controllers may send faster than anyone hears.
  #later(name, act) {
    if (!this.waiting.size) setTimeout(() => this.#flush(), GATHER);
    this.waiting.set(name, act);
    const now = performance.now();
    if (now - this.since > 1000) Object.assign(this, { since: now, count: 0 });
    this.count += 1;
    if (this.count === FLOOD) {
      this.say(`${this.name} sends over ${FLOOD} controller messages a second; the latest of them are followed.`);
    }
  }

  #flush() {
    const acts = [...this.waiting.values()];
    this.waiting.clear();
    for (const act of acts) act();
  }
}
