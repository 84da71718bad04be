// A note between two velocities that the model learned: their notes, crossfaded.

// The learned velocities that a velocity sounds with, as { layer, gain }, nearest first: one where the
// model learned this very velocity or none further out, otherwise its two neighbours, their gains of
// equal power by distance. The layer is null if the model learned none.
export function blend(velocity, learned) {
  if (!learned.length) return [{ layer: null, gain: 1 }];
  const within = Math.min(Math.max(velocity, Math.min(...learned)), Math.max(...learned));
  const low = Math.max(...learned.filter((one) => one <= within));
  const high = Math.min(...learned.filter((one) => one >= within));
  if (low === high) return [{ layer: low, gain: 1 }];
  const angle = ((within - low) / (high - low)) * (Math.PI / 2);
  return [{ layer: low, gain: Math.cos(angle) }, { layer: high, gain: Math.sin(angle) }].sort((a, b) => b.gain - a.gain);
}

// Two buffers of one note, times their gains and a level.
export function mix([one, other], gains, level) {
  const length = Math.min(one.length, other.length);
  const mixed = new AudioBuffer({ length, sampleRate: one.sampleRate });
  const [a, b, into] = [one, other, mixed].map((buffer) => buffer.getChannelData(0));
  for (let i = 0; i < length; i += 1) into[i] = level * (gains[0] * a[i] + gains[1] * b[i]);
  return mixed;
}

// What brings the sum of two buffers to the peak of the louder one.
export function levelOf(buffers, gains) {
  const [a, b] = buffers.map((buffer) => buffer.getChannelData(0));
  let [apart, both] = [0, 0];
  for (let i = 0; i < Math.min(a.length, b.length); i += 1) {
    apart = Math.max(apart, Math.abs(a[i]), Math.abs(b[i]));
    both = Math.max(both, Math.abs(gains[0] * a[i] + gains[1] * b[i]));
  }
  return both > 0 ? apart / both : 0;
}
