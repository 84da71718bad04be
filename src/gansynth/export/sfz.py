"""SFZ: a text file that tells a sampler which sound file each key plays, and how.

The opcodes are those of the format's first version, which every player knows (www.sfzformat.com);
`amp_velcurve_N` too, which gives the amplitude that each velocity has: of one layer velocity / 127,
as `generate --midi` does; of several only what lies between them. Players that don't know it take
their usual curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gansynth import __version__
from gansynth.export.samples import Layer, Sample
from gansynth.performance.mix import ATTACK, RELEASE

VOLUME = -6.0  # dB, so that chords have room
BEND_CENTS = 200


def sfz_text(title: str, samples: Sequence[Sample], files: Sequence[str], source: str) -> str:
    """The contents of an SFZ file.

    Parameters
    ----------
    title : str
        The instrument's name, for people.
    samples : sequence of Sample
    files : sequence of str
        The sound file of each one, beside the SFZ file.
    source : str
        Where it came from, in a word or two.
    """
    lines = [
        f"// {title}",
        f"// made by gansynth {__version__}, {source}",
        "",
        "<global>",
        f"ampeg_attack={ATTACK:g}",
        f"ampeg_release={RELEASE:g}",
        "amp_veltrack=100",
        f"bend_up={BEND_CENTS}",
        f"bend_down={-BEND_CENTS}",
    ]
    for layer, members in by_layer(samples, files):
        lines += ["", "<group>", *_layer_lines(layer)]
        for sample, file in members:
            lines += ["", "<region>", f"sample={file}"]
            lines += [f"lokey={sample.low_key}", f"hikey={sample.high_key}"]
            lines += [f"pitch_keycenter={sample.pitch}"]
            if sample.loop is None:
                lines += ["loop_mode=no_loop"]
            else:  # the end is the last frame that is played
                lines += ["loop_mode=loop_continuous"]
                lines += [f"loop_start={sample.loop.start}", f"loop_end={sample.loop.end - 1}"]
    return "\n".join(lines) + "\n"


def by_layer(
    samples: Sequence[Sample], files: Sequence[str]
) -> Iterator[tuple[Layer, list[tuple[Sample, str]]]]:
    """The samples of each layer with their files, the softest layer first."""
    pairs = list(zip(samples, files, strict=True))
    for layer in sorted({sample.layer for sample in samples}, key=lambda layer: layer.velocity):
        yield layer, [pair for pair in pairs if pair[0].layer == layer]


def _layer_lines(layer: Layer) -> list[str]:
    """Velocities of a layer and their gains; the curve's largest is 1, `volume` has the rest."""
    shown = {layer.low, layer.velocity, layer.high, *(velocity for velocity, _ in layer.curve)}
    shown = {velocity for velocity in shown if layer.low <= velocity <= layer.high}
    loudest = max(map(layer.gain, shown))
    return [
        f"lovel={layer.low}",
        f"hivel={layer.high}",
        f"volume={VOLUME + 20 * math.log10(loudest):.3f}",
        *(
            f"amp_velcurve_{velocity}={layer.gain(velocity) / loudest:.6f}"
            for velocity in sorted(shown)
        ),
    ]
