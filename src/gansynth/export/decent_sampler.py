"""DecentSampler presets: the same samples for a free sampler plug-in, in its XML.

Written as its developer's guide describes it (decentsampler-developers-guide.readthedocs.io).
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from gansynth.export.samples import Sample
from gansynth.export.sfz import VOLUME
from gansynth.performance.mix import ATTACK, RELEASE


def dspreset_text(samples: Sequence[Sample], files: Sequence[str]) -> str:
    """The contents of a .dspreset file; arguments as for `sfz_text`."""
    root = ElementTree.Element("DecentSampler", minVersion="1.0.0")
    groups = ElementTree.SubElement(root, "groups", volume=f"{VOLUME:g}dB")
    # Velocity counts in full, and linearly.
    group = ElementTree.SubElement(
        groups, "group", attack=f"{ATTACK:g}", release=f"{RELEASE:g}", ampVelTrack="1"
    )
    for sample, file in zip(samples, files, strict=True):
        element = ElementTree.SubElement(
            group,
            "sample",
            path=file,
            rootNote=str(sample.pitch),
            loNote=str(sample.low_key),
            hiNote=str(sample.high_key),
            loopEnabled="false" if sample.loop is None else "true",
        )
        if sample.loop is not None:  # the end is the last frame that is played
            element.set("loopStart", str(sample.loop.start))
            element.set("loopEnd", str(sample.loop.end - 1))
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"
