"""Bitwig's .multisample: WAV files and a map of their keys, velocities and loops, in one zip.

Written as its specification says (github.com/bitwig/multisample): files are stored as they are, and
the format says nothing of envelopes or of what velocity does to the level; the sampler's own
settings do that.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import soundfile

from gansynth.audio.files import ENCODINGS
from gansynth.export.samples import Sample
from gansynth.export.sfz import by_layer

_MAP = "multisample.xml"
_DATE = (1980, 1, 1, 0, 0, 0)  # the same instrument gives the same file


def write_multisample(
    path: Path, title: str, samples: Sequence[Sample], names: Sequence[str], rate: int, bits: str
) -> None:
    """Write a .multisample file.

    Parameters
    ----------
    path : Path
    title : str
        The instrument's name.
    samples : sequence of Sample
    names : sequence of str
        Of each one's WAV file in the zip.
    rate : int
        Hz.
    bits : str
        "16" or "24".
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_MAP, _DATE), _map(title, samples, names))
        for sample, name in zip(samples, names, strict=True):
            data = io.BytesIO()
            subtype = ENCODINGS[".wav"].subtypes[bits]
            soundfile.write(data, sample.wave, rate, subtype, format="WAV")
            archive.writestr(zipfile.ZipInfo(name, _DATE), data.getbuffer().tobytes())


def _map(title: str, samples: Sequence[Sample], names: Sequence[str]) -> bytes:
    root = ElementTree.Element("multisample", name=title)
    for name, text in (("generator", "gansynth"), ("category", ""), ("creator", "gansynth")):
        ElementTree.SubElement(root, name).text = text
    layers = list(by_layer(samples, names))
    for layer, _ in layers:
        ElementTree.SubElement(root, "group", name=f"velocities {layer.low}-{layer.high}")
    for group, (layer, members) in enumerate(layers):
        for sample, name in members:
            element = _added(
                root, "sample", file=name, group=group, **{"sample-stop": len(sample.wave)}
            )
            _added(
                element, "key", low=sample.low_key, high=sample.high_key, root=sample.pitch, track=1
            )
            _added(element, "velocity", low=layer.low, high=layer.high)
            _added(element, "select")
            if sample.loop is not None:
                start, stop = sample.loop.start, sample.loop.end
                _added(element, "loop", mode="loop", start=start, stop=stop)
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return data + b"\n"


def _added(parent: ElementTree.Element, tag: str, **values: Any) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, {name: str(value) for name, value in values.items()})
