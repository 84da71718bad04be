// Scales of Scala files (https://www.huygens-fokker.org/scala/scl_format.html): which pitch a key has.

const CENTRE = 60; // the key of 1/1, at its usual pitch

// `{ name, cents }` of a file's text: `cents` of each degree above 1/1, the last one the period.
export function readScala(text) {
  const lines = text.trimEnd().split(/\r?\n/).filter((line) => !line.startsWith("!"));
  const count = Number.parseInt(lines[1], 10);
  const wrong = (why) => new Error(`scala: ${why}; choose a .scl file, such as those of the Scala archive.`);
  if (lines.length < 2 || !(count >= 1 && count <= 1024)) throw wrong("the second line must be how many notes the scale has, 1 to 1024");
  if (lines.length < 2 + count) throw wrong(`it says ${count} notes and has ${lines.length - 2}`);
  const cents = lines.slice(2, 2 + count).map((line) => {
    const [, value] = /^\s*(\S+)/.exec(line) ?? [];
    if (/^-?\d*\.\d*$/.test(value ?? "") && value !== ".") return Number(value);
    const [, over, under = "1"] = /^(\d+)(?:\/(\d+))?$/.exec(value ?? "") ?? [];
    if (!(Number(over) > 0 && Number(under) > 0)) throw wrong(`the note '${line.trim().slice(0, 30)}' is neither cents (with a point) nor a ratio`);
    return 1200 * Math.log2(over / under);
  });
  if (!(cents.at(-1) > 0)) throw wrong("its last note, the period, must be above 1/1");
  return { name: lines[0].trim() || "a scale", cents };
}

// Of a key: the nearest of the `pitches` that a model knows, and how many semitones it is away.
export function tuned(key, scale, pitches) {
  if (!scale) return { pitch: key, shift: 0 };
  const { cents } = scale;
  const degree = key - CENTRE;
  const step = ((degree % cents.length) + cents.length) % cents.length;
  const above = (step ? cents[step - 1] : 0) + cents.at(-1) * Math.floor(degree / cents.length);
  const wanted = CENTRE + above / 100;
  const far = (one) => Math.abs(one - wanted);
  const pitch = pitches.reduce((best, one) => (far(one) < far(best) ? one : best));
  return { pitch, shift: wanted - pitch };
}
