// Web MIDI: notes with their velocity, and the sustain pedal.

const SUSTAIN = 64;
const ALL_SOUND_OFF = 120;
const ALL_NOTES_OFF = 123;

// `hands` has press(key, pitch, velocity), release(key), pedal(down), silence(). Gives words.
export async function connect(hands, say) {
  if (!navigator.requestMIDIAccess) {
    throw new Error("This browser has no Web MIDI here; it needs localhost or https.");
  }
  const access = await navigator.requestMIDIAccess();
  const update = () => {
    const inputs = [...access.inputs.values()].filter((input) => input.state === "connected");
    for (const input of inputs) input.onmidimessage = ({ data }) => hear(input.id, data, hands);
    say(inputs.length ? inputs.map((input) => input.name).join(", ") : "no MIDI keyboard is plugged in");
  };
  access.onstatechange = update;
  update();
}

function hear(input, [status, first, second], hands) {
  const kind = status & 0xf0;
  const key = `midi ${input} ${status & 0x0f} ${first}`;
  if (kind === 0x90 && second > 0) hands.press(key, first, second);
  else if (kind === 0x80 || kind === 0x90) hands.release(key);
  else if (kind === 0xb0 && first === SUSTAIN) hands.pedal(second >= 64);
  else if (kind === 0xb0 && first === ALL_NOTES_OFF) hands.releaseAll();
  else if (kind === 0xb0 && first === ALL_SOUND_OFF) hands.silence();
}
