"""DecentSampler presets: the same samples for a free sampler plug-in, in its XML.

Written as its developer's guide describes it (decentsampler-developers-guide.readthedocs.io).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree

from gansynth.export.samples import Layer, Sample
from gansynth.export.sfz import VOLUME, by_layer
from gansynth.performance.mix import ATTACK, MAX_VELOCITY, RELEASE


def dspreset_text(samples: Sequence[Sample], files: Sequence[str]) -> str:
    """The contents of a .dspreset file; arguments as for `sfz_text`."""
    root = ElementTree.Element("DecentSampler", minVersion="1.0.0")
    groups = ElementTree.SubElement(root, "groups", volume=f"{VOLUME:g}dB")
    for layer, members in by_layer(samples, files):
        track, volume = _tracking(layer)
        group = ElementTree.SubElement(
            groups,
            "group",
            attack=f"{ATTACK:g}",
            release=f"{RELEASE:g}",
            ampVelTrack=f"{track:.4g}",
            volume=f"{volume:.3f}dB",
        )
        for sample, file in members:
            _add_sample(group, sample, file)
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def _add_sample(group: ElementTree.Element, sample: Sample, file: str) -> None:
    element = ElementTree.SubElement(
        group,
        "sample",
        path=file,
        rootNote=str(sample.pitch),
        loNote=str(sample.low_key),
        hiNote=str(sample.high_key),
        loVel=str(sample.layer.low),
        hiVel=str(sample.layer.high),
        loopEnabled="false" if sample.loop is None else "true",
    )
    if sample.loop is not None:  # the end is the last frame that is played
        element.set("loopStart", str(sample.loop.start))
        element.set("loopEnd", str(sample.loop.end - 1))


def _tracking(layer: Layer) -> tuple[float, float]:
    """`ampVelTrack` and a volume in dB whose gain is nearest to the layer's, and exact at its own
    velocity.

    The gain is (1 - track) + track velocity / 127: here, as much louder at the layer's highest
    velocity than at its lowest as the layer is, if a track of at most 1 can do that.
    """
    low, high = layer.low / MAX_VELOCITY, layer.high / MAX_VELOCITY
    ratio = layer.gain(layer.low) / layer.gain(layer.high)
    rise = (1 - low) - ratio * (1 - high)
    track = min(1.0, (1 - ratio) / rise) if rise > 0 else 0.0
    own = 1 - track + track * layer.velocity / MAX_VELOCITY
    return track, -20 * math.log10(own)
