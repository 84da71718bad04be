// A note's rainbowgram, as gansynth.audio.rainbowgram has it: a constant-Q transform (Brown and
// Puckette 1992) with loudness as brightness and instantaneous frequency as hue.

const MIN_PITCH = 24;
const BINS_PER_OCTAVE = 24;
const MOST_OCTAVES = 8;
const COLUMNS = 512;
const Q = 2 / (2 ** (1 / 12) - 1);
const LOBES = 8; // Fourier bins of the window, where kernels are cut
const SHOWN = -72; // dB: black

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const hannLobe = (x) => sinc(x) + 0.5 * sinc(x - 1) + 0.5 * sinc(x + 1);

// In place, of a power of two (Cooley and Tukey 1965); `sign` -1 forwards, 1 backwards, unscaled.
function fft(re, im, sign) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i += 1) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let half = 1; half < n; half *= 2) {
    for (let k = 0; k < half; k += 1) {
      const angle = (sign * Math.PI * k) / half;
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      for (let i = k; i < n; i += 2 * half) {
        const j = i + half;
        const [x, y] = [re[j] * c - im[j] * s, re[j] * s + im[j] * c];
        re[j] = re[i] - x;
        im[j] = im[i] - y;
        re[i] += x;
        im[i] += y;
      }
    }
  }
}

const powerAbove = (number) => 2 ** Math.ceil(Math.log2(number));

// Colours of a wave: { width, height, data } of RGBA bytes, low frequencies at the bottom.
export function rainbow(wave, rate) {
  const hop = powerAbove(wave.length / COLUMNS);
  const width = Math.ceil(wave.length / hop);
  const lowest = 440 * 2 ** ((MIN_PITCH - 69) / 12);
  const octaves = Math.min(Math.log2((0.45 * rate) / lowest), MOST_OCTAVES);
  const height = Math.floor(octaves * BINS_PER_OCTAVE) + 1;
  const slots = powerAbove(width + (Q * rate) / lowest / hop);
  const size = slots * hop;
  const [re, im] = [new Float64Array(size), new Float64Array(size)];
  re.set(wave);
  fft(re, im, -1);
  const spacing = rate / size;
  const power = new Float64Array(width * height);
  const deviation = new Float64Array(width * height);
  for (let row = 0; row < height; row += 1) {
    const frequency = lowest * 2 ** (row / BINS_PER_OCTAVE);
    const lobe = frequency / Q;
    const first = Math.max(Math.ceil((frequency - LOBES * lobe) / spacing), 0);
    const last = Math.min(Math.floor((frequency + LOBES * lobe) / spacing), size / 2);
    // Sampling more coarsely is adding up the spectrum in turns of `slots`; the second pair is the
    // derivative in time, beside the bin's own turning (Auger and Flandrin 1995).
    const [vr, vi, sr, si] = Array.from({ length: 4 }, () => new Float64Array(slots));
    for (let k = first; k <= last; k += 1) {
      const offset = k * spacing - frequency;
      const kernel = hannLobe(Math.abs(offset) / lobe);
      const slot = k % slots;
      vr[slot] += re[k] * kernel;
      vi[slot] += im[k] * kernel;
      sr[slot] += re[k] * kernel * offset;
      si[slot] += im[k] * kernel * offset;
    }
    fft(vr, vi, 1);
    fft(sr, si, 1);
    for (let x = 0; x < width; x += 1) {
      const p = vr[x] ** 2 + vi[x] ** 2;
      const shift = p > 0 ? (sr[x] * vr[x] + si[x] * vi[x]) / p : 0;
      const at = (height - 1 - row) * width + x;
      power[at] = p;
      deviation[at] = Math.min(Math.max(12 * Math.log2(Math.max(1 + shift / frequency, 0.5)), -1), 1);
    }
  }
  const loudest = power.reduce((most, p) => Math.max(most, p), 0) || 1;
  const data = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < power.length; i += 1) {
    const level = 10 * Math.log10(Math.max(power[i] / loudest, 1e-10));
    const bright = Math.min(Math.max(1 - level / SHOWN, 0), 1);
    const stretched = Math.sign(deviation[i]) * Math.sqrt(Math.abs(deviation[i]));
    [0.5, 1 / 6, -1 / 6].forEach((hue, c) => {
      const angle = Math.PI * (0.38 - 0.44 * stretched + hue);
      data[4 * i + c] = 255 * (0.12 + 0.88 * Math.sin(angle) ** 2) * bright;
    });
    data[4 * i + 3] = 255;
  }
  return { width, height, data };
}
