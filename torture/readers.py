"""Readers of files that somebody else may have made, each with a whole file to damage."""

from __future__ import annotations

import gzip
import json
import sys
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# The tests' writers are independent of the readers.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

TOY = {
    "data_type": "linear",
    "start_height": 2,
    "start_width": 4,
    "num_resolutions": 2,
    "audio_length": 28,
    "fmap_base": 8,
    "fmap_max": 2,
    "latent_vector_size": 3,
    "mag_normalizer_b": 0.8,
}
SHA = "0" * 64


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Attributes
    ----------
    name : str
        As `python -m torture fuzz` and the corpus's folders call it.
    make : function of a folder
        Writes what is read there; returns the file to damage.
    read : function of that file
        May raise `GansynthError` and nothing else.
    pack : function of bytes
        Makes a file of what is damaged: what `make` writes is then the inside of a file whose
        checksums or compression would keep the damage from the reader.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    pack: Callable[[bytes], bytes] = bytes


def _toy() -> Any:
    from gansynth import config
    from gansynth.model.file import initial_model

    return initial_model(config.preset("tiny").replace(**TOY), [60, 61], seed=0)


def _model(folder: Path) -> Path:
    from gansynth.model.file import save_model

    save_model(folder / "model.safetensors", _toy())
    return folder / "model.safetensors"


def _read_model(path: Path) -> Any:
    from gansynth.model.load import load_model
    from gansynth.model.peek import pitches_in_file

    pitches_in_file(str(path))
    return load_model(path)


def _checkpoint(folder: Path) -> Path:
    import torch

    from gansynth.training.checkpoint import save_checkpoint

    save_checkpoint(folder / "images_000000008.safetensors", {"a": torch.ones(3)}, {"images": 8})
    return folder / "images_000000008.safetensors"


def _read_checkpoint(path: Path) -> Any:
    from gansynth.training.checkpoint import load_checkpoint, read_facts

    read_facts(path)
    return load_checkpoint(path)


def _magenta(folder: Path) -> Path:
    from magenta_writer import write_magenta

    return write_magenta(folder / "run", _toy())


def _bundle(folder: Path) -> Path:
    return next(_magenta(folder).glob("stage_*/*.index"))


def _experiment(folder: Path) -> Path:
    return _magenta(folder) / "experiment.json"


def _read_magenta(path: Path) -> Any:
    from gansynth.convert.magenta import read_magenta

    return read_magenta(path)


def _zip(folder: Path) -> Path:
    run = _magenta(folder)
    kinds = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    with zipfile.ZipFile(folder / "run.zip", "w") as archive:
        for number, path in enumerate(sorted(run.rglob("*"))):
            if path.is_file():
                archive.write(path, path.relative_to(folder), kinds[number % 4])
    return folder / "run.zip"


def _tar(folder: Path) -> Path:
    import tarfile

    run = _magenta(folder)
    with tarfile.open(folder / "run.tar.gz", "w:gz") as archive:
        archive.add(run, "run")
    return folder / "run.tar.gz"


def _prepared(folder: Path) -> Path:
    from gansynth.data.store import NoteRecord
    from gansynth.data.writer import NotesWriter

    with NotesWriter(folder / "notes", sample_rate=16000, samples=8) as writer:
        for pitch in (60, 61):
            note = NoteRecord(pitch, 100, "i", "keyboard", "acoustic", "g", "train", "o")
            writer.add(note, np.full(8, pitch, np.int16))
        writer.publish({})
    return folder / "notes" / "notes.jsonl"


def _prepared_file(name: str) -> Callable[[Path], Path]:
    return lambda folder: _prepared(folder).with_name(name)


def _read_prepared(path: Path) -> Any:
    from gansynth.data.store import open_notes

    return np.asarray(open_notes(path.parent).waveforms)


def _midi(folder: Path) -> Path:
    from midi_bytes import bend, control, off, on, program, smf, sysex, tempo

    first = tempo(0, 400_000) + on(0, 60) + bend(10, 100) + off(100, 60) + sysex(0, 0x7E, 9, 1)
    second = program(0, 5, 1) + control(0, 64, 127, 1) + on(0, 64, 90, 1) + off(90, 64, 1)
    (folder / "song.mid").write_bytes(smf(first, second))
    return folder / "song.mid"


def _read_midi(path: Path) -> Any:
    from gansynth.performance.midi import read_midi

    return read_midi(path), read_midi(path, per_track=True)


def _unpacked(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """What is in the gzip file that `make` writes; `_gzip` packs it again."""

    def make_inside(folder: Path) -> Path:
        path = make(folder)
        path.write_bytes(gzip.decompress(path.read_bytes()))
        return path

    return make_inside


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, 1)


def _record(folder: Path) -> Path:
    """The inside of a TFRecord; `framed` puts right lengths and checksums around it."""
    from nsynth_writer import NOTES, example, nsynth_features

    (folder / "nsynth.tfrecord").write_bytes(example(nsynth_features(NOTES[0])))
    return folder / "nsynth.tfrecord"


def _framed(data: bytes) -> bytes:
    from nsynth_writer import framed

    return framed(data)


def _sound(form: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from sound_writer import smpl, tone, wav

        path = folder / f"C4.{form}"
        if form == "wav":
            path.write_bytes(wav(tone(seconds=0.1), smpl(60)))
        else:
            import soundfile

            soundfile.write(path, tone(seconds=0.1), 16000)
        return path

    return make


def _read_sound(path: Path) -> Any:
    from gansynth.audio.reading import read_audio, sound_form

    sound_form(path)
    return read_audio(path, 1.0)


def _read_chunks(path: Path) -> Any:
    from gansynth.audio.sampler_chunks import read_sampler_facts

    with open(path, "rb") as file:
        return read_sampler_facts(file)


def _manifest(folder: Path) -> Path:
    (folder / "manifest.csv").write_text(
        "file,pitch,velocity,split\nC4.wav,60,100,train\nsub/D4.wav,D4,,test\n", encoding="utf-8"
    )
    _sound("wav")(folder)
    return folder / "manifest.csv"


def _read_source(path: Path) -> Any:
    """Everything that a data set would be built of."""
    from gansynth.data.filters import BuildOptions
    from gansynth.data.note import Note
    from gansynth.data.sources import open_sources

    with ExitStack() as stack:
        (source,) = open_sources([path], BuildOptions(), stack=stack)
        for chunk in source.chunks():
            notes = [item for item in chunk if isinstance(item, Note)]
            for _ in source.read(notes):
                pass


def _records(folder: Path) -> Path:
    from nsynth_writer import NOTES, example, nsynth_features, write_records

    records = [example(nsynth_features(note)) for note in NOTES[:2]]
    return write_records(folder / "nsynth.tfrecord", records)


def _packed_records(folder: Path) -> Path:
    from nsynth_writer import NOTES, example, nsynth_features, write_records

    records = [example(nsynth_features(note)) for note in NOTES[:2]]
    return write_records(folder / "nsynth.tfrecord", records, "gzip")


def _nsynth_tar(folder: Path) -> Path:
    from nsynth_writer import NOTES, jsonwav_files, write_tar

    return write_tar(folder / "nsynth.tar.gz", jsonwav_files(NOTES[:2]), "w:gz")


def _font(folder: Path) -> Path:
    from soundfont_writer import Font, tone

    return Font(samples=[tone(seconds=0.02)]).write(folder / "font.sf2")


def _read_font(path: Path) -> Any:
    from gansynth.data.soundfont.structure import read_soundfont

    return read_soundfont(path)


def _play_font(path: Path) -> Any:
    """A font's first note, by the engine that is installed."""
    from gansynth.data.note import Note
    from gansynth.data.soundfont.source import open_soundfont

    source = open_soundfont(path, seconds=0.1)
    try:
        for chunk in source.chunks():
            notes = [item for item in chunk if isinstance(item, Note)]
            return list(source.read(notes[:1]))
    finally:
        source.close()


def _features(folder: Path) -> Path:
    from gansynth.evaluation.listeners.features import FEATURE_NAMES

    arrays: dict[str, Any] = {name: np.ones((2, 3)) for name in FEATURE_NAMES}
    np.savez(folder / "features.npz", **arrays)
    return folder / "features.npz"


def _read_features(path: Path) -> Any:
    from gansynth.evaluation.listeners.cache import read_features

    return read_features(path)


def _report(folder: Path) -> Path:
    (folder / "report.md").write_text("# Report\n", encoding="utf-8")
    (folder / "report.json").write_text('{"settings": {"model a": "m", "seed": 1}, "rows": []}')
    return folder / "report.json"


def _read_report(path: Path) -> Any:
    from gansynth.export.hub import read_report

    return read_report(path.parent)


def _instrument(folder: Path) -> Path:
    from gansynth.performance.instrument import Instrument, write_instrument

    latent = np.array([0.1, 0.2, 0.3], np.float32)
    write_instrument(folder / "glass.json", Instrument("Glass", latent, None, SHA))
    return folder / "glass.json"


def _sidecar(folder: Path) -> Path:
    record = {
        "kind": "note", "name": "Glass", "model": {"path": "m.safetensors", "sha256": SHA},
        "latents": [[0.1, 0.2, 0.3]], "pitches": [60], "seed": 1, "gansynth": "1",
        "format": {"extension": ".wav"}, "arrangement": "spaced",
    }  # fmt: skip
    (folder / "note.json").write_text(json.dumps(record), encoding="utf-8")
    return folder / "note.json"


def _read_sidecar(path: Path) -> Any:
    from gansynth.performance.instrument import read_instruments
    from gansynth.performance.recording import read_recording

    read_recording(path)
    return read_instruments(path)


def _run(folder: Path) -> Path:
    from gansynth import config
    from gansynth.training.run_folder import RunFolder

    with RunFolder.create(
        folder / "run", config.preset("tiny"), data="notes", pitch_counts={60: 3}
    ):
        return folder / "run" / "config.json"


def _read_run(path: Path) -> Any:
    from gansynth.training.run_folder import read_settings

    return read_settings(path.parent)


def _metrics(folder: Path) -> Path:
    (folder / "metrics.jsonl").write_text('{"images": 8, "loss": 1.5}\n{"images": 16}\n')
    return folder / "metrics.jsonl"


def _read_metrics(path: Path) -> Any:
    from gansynth.training.logs import MetricsFile

    MetricsFile(path, 8).close()


def _directions(folder: Path) -> Path:
    from gansynth.serve.descriptors import DESCRIPTORS
    from gansynth.serve.directions import Direction, write_directions

    found = [Direction(name, np.ones(3, np.float32), 0.5, 1.0) for name in DESCRIPTORS]
    write_directions(folder / "directions.json", SHA, found)
    return folder / "directions.json"


def _read_directions(path: Path) -> Any:
    from gansynth.serve.directions import read_directions

    return read_directions(path, SHA, 3)


def _classifier(folder: Path) -> Path:
    from gansynth.evaluation.listeners.classifier import load_classifier, save_classifier

    save_classifier(folder / "classifier.safetensors", load_classifier())
    return folder / "classifier.safetensors"


def _read_classifier(path: Path) -> Any:
    from gansynth.evaluation.listeners.classifier import load_classifier

    return load_classifier(path)


def _of_folder(path: Path) -> Any:
    return _read_source(path.parent)


READERS = (
    Reader("model", _model, _read_model),
    Reader("checkpoint", _checkpoint, _read_checkpoint),
    Reader("magenta-index", _bundle, lambda path: _read_magenta(path.parents[1])),
    Reader("magenta-experiment", _experiment, lambda path: _read_magenta(path.parent)),
    Reader("magenta-zip", _zip, _read_model),
    Reader("magenta-tar", _tar, _read_model),
    Reader("magenta-tar-inside", _unpacked(_tar), _read_model, _gzip),
    Reader("prepared-notes", _prepared, _read_prepared),
    Reader("prepared-summary", _prepared_file("summary.json"), _read_prepared),
    Reader("prepared-waveforms", _prepared_file("waveforms.npy"), _read_prepared),
    Reader("midi", _midi, _read_midi),
    Reader("wav", _sound("wav"), _read_sound),
    Reader("flac", _sound("flac"), _read_sound),
    Reader("ogg", _sound("ogg"), _read_sound),
    Reader("mp3", _sound("mp3"), _read_sound),
    Reader("aiff", _sound("aiff"), _read_sound),
    Reader("sampler-chunks", _sound("wav"), _read_chunks),
    Reader("manifest", _manifest, _of_folder),
    Reader("tfrecord", _records, _read_source),
    Reader("tfrecord-inside", _record, _read_source, _framed),
    Reader("tfrecord-gzip", _packed_records, _read_source),
    Reader("nsynth-tar", _nsynth_tar, _read_source),
    Reader("nsynth-tar-inside", _unpacked(_nsynth_tar), _read_source, _gzip),
    Reader("soundfont", _font, _read_font),
    Reader("soundfont-engine", _font, _play_font),
    Reader("sidecar", _sidecar, _read_sidecar),
    Reader("instrument", _instrument, _read_sidecar),
    Reader("run-config", _run, _read_run),
    Reader("metrics", _metrics, _read_metrics),
    Reader("directions", _directions, _read_directions),
    Reader("classifier", _classifier, _read_classifier),
    Reader("feature-cache", _features, _read_features),
    Reader("report", _report, _read_report),
)
