// Samples to a WAV file of 16 bits.

// `channels` are arrays of samples, all of one length.
export function encodeWav(channels, rate, level = 1) {
  const [count, length] = [channels.length, channels[0].length];
  const view = new DataView(new ArrayBuffer(44 + 2 * count * length));
  const text = (at, words) => [...words].forEach((one, i) => view.setUint8(at + i, one.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * count * length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, count, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * count * rate, true);
  view.setUint16(32, 2 * count, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * count * length, true);
  // Numbers are little-endian in memory wherever browsers run.
  const out = new Int16Array(view.buffer, 44);
  channels.forEach((samples, channel) => {
    for (let i = 0; i < length; i += 1) {
      out[i * count + channel] = Math.round(32767 * Math.min(Math.max(level * samples[i], -1), 1));
    }
  });
  return view.buffer;
}

export function peakOf(samples) {
  let most = 0;
  for (let i = 0; i < samples.length; i += 1) most = Math.max(most, Math.abs(samples[i]));
  return most;
}
