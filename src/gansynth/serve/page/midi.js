// The notes of a standard MIDI file: what the piano roll shows, and what a browser renders itself.
// gansynth.performance repairs and follows more: bends, controllers, MPE, SMPTE time.

const DRUMS = 9; // the channel, counted from 0
const SUSTAIN = 64;
const TEMPO = 0x51;
const MOST_SECONDS = 24 * 3600;

// `{ notes, duration, drums, bars }`: notes as { pitch, velocity, start, end, track, channel,
// program }, in the order of their starts, in seconds; `bars` are the seconds of bar lines. Refuses
// in words what is no MIDI file.
export function readMidi(buffer) {
  let bytes = new Uint8Array(buffer);
  const name = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (name(0) === "RIFF") {
    const start = find(bytes, "MThd");
    if (start < 0) throw new Error("midi: is no MIDI file, or a damaged one.");
    bytes = bytes.subarray(start);
  }
  if (name(0) !== "MThd" || bytes.length < 14) throw new Error("midi: is no MIDI file, or a damaged one.");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const division = view.getInt16(12) || 96;
  const events = [];
  let track = 0;
  for (let at = 8 + view.getUint32(4); at + 8 <= bytes.length;) {
    const end = Math.min(at + 8 + view.getUint32(at + 4), bytes.length);
    if (name(at) === "MTrk") readTrack(bytes.subarray(at + 8, end), track++, events);
    at = end;
  }
  events.sort((a, b) => a.tick - b.tick || a.order - b.order);
  return play(events, division);
}

function find(bytes, words) {
  for (let at = 0; at + 4 <= bytes.length; at += 1) {
    if ([...words].every((one, i) => bytes[at + i] === one.charCodeAt(0))) return at;
  }
  return -1;
}

// A track's events, until its end or what can't be read.
function readTrack(data, track, events) {
  let at = 0;
  let tick = 0;
  let status = 0;
  const number = () => {
    let value = 0;
    for (let byte = 0x80; byte & 0x80 && at < data.length;) {
      byte = data[at++];
      value = value * 128 + (byte & 0x7f);
    }
    return value;
  };
  const add = (kind, first, second) => events.push({ tick, track, kind, first, second, order: events.length });
  while (at < data.length) {
    tick += number();
    if (data[at] & 0x80) status = data[at++];
    if (status === 0xff) {
      const type = data[at++];
      const length = number();
      const body = data.subarray(at, at + length);
      if (type === TEMPO && length >= 3) add("tempo", (body[0] << 16) | (body[1] << 8) | body[2]);
      if (type === 0x58 && length >= 2) add("meter", body[0], 2 ** body[1]);
      if (type === 0x2f) break;
      at += length;
    } else if (status === 0xf0 || status === 0xf7) {
      at += number();
    } else if (status >= 0x80) {
      const first = data[at++];
      const second = status >= 0xc0 && status < 0xe0 ? 0 : data[at++];
      if (second === undefined) break;
      add(status, first, second);
    } else break;
  }
  add("end");
}

function play(events, division) {
  // Ticks a beat, or (negative) frames a second and ticks a frame.
  let secondsATick = division > 0 ? 0.5 / division : 1 / (-(division >> 8) * (division & 0xff) || 1);
  let now = 0;
  let tick = 0;
  const notes = [];
  const open = new Map(); // "track channel pitch" -> notes that are down
  const held = new Map(); // channel -> notes that the pedal holds
  const pedals = new Set(); // channels
  const programs = new Map();
  const bars = [0];
  let meter = { tick: 0, bar: 4 * Math.abs(division) };
  let drums = 0;
  const letGo = (channel) => {
    for (const note of held.get(channel) ?? []) note.end ??= now;
    held.delete(channel);
  };
  for (const event of events) {
    for (let next = meter.tick + meter.bar; next <= event.tick && bars.length < 1e5; next += meter.bar) {
      bars.push(now + (next - tick) * secondsATick);
      meter.tick = next;
    }
    now += (event.tick - tick) * secondsATick;
    tick = event.tick;
    if (now > MOST_SECONDS) break;
    const { kind, first, second, track } = event;
    if (kind === "tempo" && division > 0) secondsATick = first / 1e6 / division;
    if (kind === "meter" && first) {
      if (tick > meter.tick) bars.push(now);
      meter = { tick, bar: Math.max(1, (4 * Math.abs(division) * first) / second) };
    }
    if (kind === "end") {
      for (const [key, down] of open) {
        if (!key.startsWith(`${track} `)) continue;
        for (const note of down) note.end ??= now;
        open.delete(key);
      }
    }
    if (typeof kind !== "number") continue;
    const channel = kind & 15;
    const key = `${track} ${channel} ${first}`;
    const isOn = kind >> 4 === 9 && second > 0;
    if (channel === DRUMS && (kind >> 4 === 9 || kind >> 4 === 8)) {
      drums += isOn;
    } else if (isOn) {
      for (const note of held.get(channel) ?? []) if (note.pitch === first) note.end ??= now;
      const program = programs.get(channel) ?? 0;
      const note = { pitch: first, velocity: second, start: now, end: null, track, channel, program };
      notes.push(note);
      open.set(key, [...(open.get(key) ?? []), note]);
    } else if (kind >> 4 === 8 || kind >> 4 === 9) {
      const note = open.get(key)?.shift();
      if (note && pedals.has(channel)) held.set(channel, [...(held.get(channel) ?? []), note]);
      else if (note) note.end ??= now;
    } else if (kind >> 4 === 12) {
      programs.set(channel, first);
    } else if (kind >> 4 === 11 && first === SUSTAIN) {
      if (second >= 64) pedals.add(channel);
      else if (pedals.delete(channel)) letGo(channel);
    }
  }
  for (const note of notes) note.end ??= now;
  const sounding = notes.filter((note) => note.end > note.start)
    .sort((a, b) => a.start - b.start || a.pitch - b.pitch || a.track - b.track);
  if (!sounding.length) {
    throw new Error(`midi: holds ${drums ? `only drums (${drums} notes)` : "no notes at all"}: give a piece with at least one pitched note.`);
  }
  const duration = sounding.reduce((most, note) => Math.max(most, note.end), 0);
  return { notes: sounding, duration, drums, bars: bars.filter((at) => at < duration) };
}

// The notes with pitches that a model knows, moved by octaves where need be; those of a pitch class
// that it doesn't know are left out.
export function fitPitches(notes, pitches) {
  const known = new Set(pitches);
  let moved = 0;
  const fitted = notes.flatMap((note) => {
    if (known.has(note.pitch)) return [note];
    const far = (one) => Math.abs(one - note.pitch);
    const same = pitches.filter((one) => (one - note.pitch) % 12 === 0);
    if (!same.length) return [];
    moved += 1;
    return [{ ...note, pitch: same.reduce((best, one) => (far(one) < far(best) ? one : best)) }];
  });
  return { notes: fitted, moved, dropped: notes.length - fitted.length };
}

// Which part plays each note: its track; of a file with one track, its channel and program.
export function partsOf(notes) {
  const tracks = new Set(notes.map((note) => note.track));
  const keyOf = (note) => (tracks.size > 1 ? note.track : 128 * note.channel + note.program);
  const keys = [...new Set(notes.map(keyOf))].sort((a, b) => a - b);
  return notes.map((note) => keys.indexOf(keyOf(note)));
}
