"""Generating: time per note against the operation count, cold start, memory, performances."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.plain import PlainPort
from bench.timing import (
    in_words,
    left_out,
    machine,
    matmul_rate,
    medians,
    precisions,
    run_process,
)
from gansynth import config as configs
from gansynth.config import Config
from gansynth.memory import keep_freed_memory
from gansynth.model.file import Model, initial_model, save_model
from gansynth.model.load import load_model
from gansynth.model.synth import Synth
from gansynth.networks import schedule
from gansynth.networks.progressive import Generator

BATCH = 8


def multiply_adds(config: Config, *, upscaled: bool) -> float:
    """Multiply-adds of the generator's convolutions for one note at the last stage.

    `upscaled`: every kernel tap at full resolution (the original), or only the distinct ones.
    """
    taps = config.kernel_size**2
    steps = schedule.scale(config)
    distinct = float(np.prod([(config.kernel_size + s - 1) / s for s in steps]))
    total = 0.0
    for block in range(1, config.num_resolutions + 1):
        pixels = float(np.prod(schedule.block_shape(config, block)))
        channels = config.channels(block)
        if block == 1:
            total += pixels * (config.latent_vector_size + 61) * channels
        else:
            first = taps if upscaled else distinct
            total += pixels * first * config.channels(block - 1) * channels
        total += pixels * taps * channels * channels
    return total + pixels * channels * 2


def bench_notes(model: Model, runs: int = 5) -> list[str]:
    """Latent to waveform, per note, against the plain port and the operation count."""
    config = model.config
    full = multiply_adds(config, upscaled=True)
    least = multiply_adds(config, upscaled=False)
    rates = {name: matmul_rate(getattr(torch, name)) for name in precisions()}
    rate = rates["float32"]
    unit = 2 * full / rate
    synths = {name: Synth(model, "cpu", name) for name in precisions()}
    z = synths["float32"].sample_latents(BATCH)
    pitches = synths["float32"].sample_pitches(BATCH)
    together = Synth(model, "cpu")
    together.batch = BATCH
    labels = torch.from_numpy(pitches - synths["float32"].pitches[0])
    generator = model.build_generator()
    assert isinstance(generator, Generator)
    plain = {name: PlainPort(deepcopy(generator), config, getattr(torch, name)) for name in synths}
    latents = torch.from_numpy(z)
    exact = synths["float32"].notes(z, pitches)
    off = np.abs(plain["float32"](latents, labels).numpy() - exact).max() / np.abs(exact).max()
    assert off < 1e-2, f"the baseline makes other notes: {off}"

    work: dict[str, tuple[Callable[[], object], int]] = {}
    for name in synths:
        for batch in (1, BATCH):
            work[f"plain port, {name}, batch {batch}"] = (
                partial(plain[name], latents[:batch], labels[:batch]),
                batch,
            )
            work[f"gansynth, {name}, batch {batch}"] = (
                partial(synths[name].notes, z[:batch], pitches[:batch]),
                batch,
            )
    work[f"gansynth, float32, {BATCH} at once and not one by one"] = (
        partial(together.notes, z, pitches),
        BATCH,
    )
    seconds = medians({name: run for name, (run, _) in work.items()}, runs)
    lines = [
        f"machine: {machine()}",
        f"matrix product: {in_words(rates)}",
        *left_out(),
        f"generator: {full / 1e9:.2f} GMAC per note as published, {least / 1e9:.2f} with distinct "
        f"taps only; unit = 2 x {full / 1e9:.2f} GFLOP at the float32 rate = {unit * 1e3:.0f} ms",
        "",
        "| latent to waveform | ms per note | ratio to unit | x real time |",
        "|---|---|---|---|",
        f"| floor of the distinct taps, float32 | {unit * least / full * 1e3:.0f} "
        f"| {least / full:.2f} | |",
    ]
    note_seconds = config.audio_length / config.sample_rate
    for name, (_, batch) in work.items():
        per_note = seconds[name] / batch
        lines.append(
            f"| {name} | {per_note * 1e3:.0f} | {per_note / unit:.2f} "
            f"| {note_seconds / per_note:.0f} |"
        )
    return lines


def bench_frames(model: Model, name: str, runs: int = 7) -> list[str]:
    """Latent to waveform of a preset with frames, per note, against the operations it needs.

    New latents each time, as the codes of known ones are remembered, but for the notes of one
    instrument.
    """
    synths = {kind: Synth(model, "cpu", kind) for kind in precisions()}
    z, pitches = synths["float32"].sample_latents(BATCH), synths["float32"].sample_pitches(BATCH)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        label, velocity = torch.zeros(1, dtype=torch.int64), torch.full((1,), 100.0)
        model.build_generator()(torch.from_numpy(z[:1]), label, model.progress, velocity)
    operations = counter.get_total_flops()
    floor = operations / matmul_rate(torch.float32)
    work: dict[str, tuple[Callable[[], object], int]] = {}
    for kind, synth in synths.items():
        for count in (1, BATCH):
            row = f"gansynth, {kind}, {'one note' if count == 1 else f'{count} notes'}"
            work[row] = partial(_new_notes, synth, pitches[:count]), count
        work[f"gansynth, {kind}, {BATCH} notes of one instrument"] = (
            partial(synth.notes, np.repeat(z[:1], BATCH, axis=0), pitches),
            BATCH,
        )
    seconds = medians({row: run for row, (run, _) in work.items()}, runs)
    length = model.config.audio_length / model.config.sample_rate
    lines = [
        "",
        f"| latent to waveform, preset {name}, {torch.get_num_threads()} threads | ms per note "
        "| ratio to floor | x real time |",
        "|---|---|---|---|",
        f"| floor: {operations / 1e9:.2f} GFLOP at the float32 rate | {floor * 1e3:.1f} | | |",
    ]
    for row, (_, count) in work.items():
        per_note = seconds[row] / count
        lines.append(
            f"| {row} | {per_note * 1e3:.1f} | {per_note / floor:.1f} | {length / per_note:.0f} |"
        )
    return lines


def _new_notes(synth: Synth, pitches: np.ndarray) -> np.ndarray:
    return synth.notes(synth.sample_latents(len(pitches)), pitches)


def bench_precision(model: Model, name: str) -> list[str]:
    """How far bfloat16 notes are from float32 ones; nothing where that would take for ever."""
    if "bfloat16" not in precisions():
        return []
    exact, rough = (Synth(model, "cpu", precision) for precision in ("float32", "bfloat16"))
    z, pitches = exact.sample_latents(BATCH), exact.sample_pitches(BATCH)
    a, b = exact.notes(z, pitches), rough.notes(z, pitches)

    def spectra(waves: np.ndarray) -> np.ndarray:
        stfts = torch.stft(
            torch.from_numpy(waves), 1024, window=torch.hann_window(1024), return_complex=True
        )
        return stfts.abs().numpy()

    def ratio(x: np.ndarray, y: np.ndarray) -> float:
        return float(10 * np.log10((x**2).sum() / max(((x - y) ** 2).sum(), 1e-30)))

    return [f"| {name} | {ratio(a, b):.1f} | {ratio(spectra(a), spectra(b)):.1f} |"]


def bench_process(path: Path, runs: int = 5) -> list[str]:
    """Cold start and peak memory of whole processes."""
    command = [
        "-m",
        "gansynth.cli.main",
        "generate",
        "--model",
        str(path),
        "--force",
        "--seed",
        "0",
    ]
    lines = ["", "| whole process | seconds | peak memory |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, BATCH):
            arguments = [*command, "--count", str(count), "-o", folder]
            seconds, memory = sorted(run_process(arguments) for _ in range(runs))[runs // 2]
            lines.append(f"| generate --count {count} | {seconds:.1f} | {memory:.0f} MB |")
    imports = sorted(run_process(["-c", "import torch"]) for _ in range(runs))[runs // 2]
    lines.append(f"| (import torch alone) | {imports[0]:.1f} | {imports[1]:.0f} MB |")
    return lines


def bench_performance(model: Model, count: int) -> list[str]:
    """A MIDI file against the same notes alone, and mido: what reading, mixing and files cost."""
    import mido

    from gansynth.performance.midi import read_midi
    from gansynth.performance.plan import make_plan
    from gansynth.performance.recording import Format, record_clip

    synth = Synth(model, "cpu")
    with tempfile.TemporaryDirectory() as folder:
        track = mido.MidiTrack()
        for index in range(count):
            pitch = 48 + 7 * index % 25
            track.append(mido.Message("note_on", note=pitch, velocity=80, time=0))
            track.append(mido.Message("note_off", note=pitch, velocity=0, time=240))
        file = mido.MidiFile()
        file.tracks.append(track)
        path = Path(folder) / "notes.mid"
        file.save(path)
        reading = medians(
            {"gansynth": lambda: read_midi(path), "mido": lambda: list(mido.MidiFile(path))}, runs=5
        )
        start = time.perf_counter()
        plan = make_plan(read_midi(path), synth)
        record_clip(synth, plan, Path(folder), stem="clip", form=Format(), origin={})
        whole = time.perf_counter() - start
    alone = max(8, min(count, 64))
    pitches = [note.pitch for note in plan.notes[:alone]]
    notes = medians({"notes": lambda: synth.notes(plan.latents(0, alone), pitches)}, runs=3)[
        "notes"
    ]
    ratio = (whole / count) / (notes / alone)
    read, by_mido = reading["gansynth"], reading["mido"]
    return [
        "",
        f"MIDI file of {count} notes to a WAV: {count / whole:.1f} notes/s; notes() alone: "
        f"{alone / notes:.1f} notes/s; time per note {ratio:.2f} x that of notes() alone",
        f"reading it: {read * 1e3:.1f} ms, {100 * read / whole:.2f} % of the whole and "
        f"{read / by_mido:.2f} x mido's {by_mido * 1e3:.1f} ms",
    ]


def bench(model_path: str | None = None, notes: int = 2000) -> None:
    """Print the table; `model_path` adds a trained model to the rows on precision."""
    keep_freed_memory()  # as commands do
    model = initial_model(configs.preset("mel_prog_hires"), list(range(24, 85)), seed=0)
    print("\n".join(bench_notes(model)), flush=True)
    for name in ("fast", "hifi"):
        frames = initial_model(configs.preset(name), list(model.pitch_counts), seed=0)
        print("\n".join(bench_frames(frames, name)), flush=True)
    rows = bench_precision(model, "untrained mel_prog_hires")
    if model_path:
        rows += bench_precision(load_model(model_path)[0], model_path)
    if rows:
        header = ["", "| bfloat16 against float32 | waves, dB | STFT magnitudes, dB |"]
        print("\n".join([*header, "|---|---|---|", *rows]), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(path, model)
        print("\n".join(bench_process(path)), flush=True)
    print("\n".join(bench_performance(model, notes)), flush=True)
