"""SFZ: a text file that tells a sampler which sound file each key plays, and how.

The opcodes are those of the format's first version, which every player knows (www.sfzformat.com);
`amp_velcurve_N` too, which makes a note as loud as `generate --midi` does: amplitude = velocity /
127. Players that don't know it take their usual curve.
"""

from __future__ import annotations

from collections.abc import Sequence

from gansynth import __version__
from gansynth.export.samples import Sample
from gansynth.performance.mix import ATTACK, MAX_VELOCITY, RELEASE

VOLUME = -6.0  # dB, so that chords have room


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
        f"amp_velcurve_1={1 / MAX_VELOCITY:.6f}",
        f"amp_velcurve_{MAX_VELOCITY}=1",
        f"volume={VOLUME:g}",
    ]
    for sample, file in zip(samples, files, strict=True):
        lines += ["", "<region>", f"sample={file}"]
        lines += [f"lokey={sample.low_key}", f"hikey={sample.high_key}"]
        lines += [f"pitch_keycenter={sample.pitch}"]
        if sample.loop is None:
            lines += ["loop_mode=no_loop"]
        else:  # the end is the last frame that is played
            lines += ["loop_mode=loop_continuous"]
            lines += [f"loop_start={sample.loop.start}", f"loop_end={sample.loop.end - 1}"]
    return "\n".join(lines) + "\n"
