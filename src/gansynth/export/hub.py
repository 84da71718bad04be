"""A model as a repository on the Hugging Face Hub.

model.safetensors     what `gansynth.load("hf://user/name")` loads
README.md             the card: what the model knows, its sounds, the table of an evaluation
sounds/….flac         notes of random instruments, of each family where it has families
report.json           the evaluation, if there is one
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from gansynth import __version__
from gansynth.audio.files import write_audio
from gansynth.errors import InputError, ModelError, OutputError
from gansynth.evaluation.report.folder import JSON, MARKDOWN
from gansynth.export.folder import safe_stem
from gansynth.extras import require
from gansynth.files import PathLike, as_path, write_text
from gansynth.model.file import save_model
from gansynth.model.hub import MODEL_FILE, HubFile, endpoint, hub_errors, parse_address
from gansynth.model.synth import Synth
from gansynth.pitches import describe_pitches

CARD = "README.md"
_SOUNDS = 6  # of a model without families
_CARD = """\
---
{head}
---

# {name}

An instrument model of gansynth: a latent and a pitch make a note.

| | |
|---|---|
{rows}

## Play it

```python
import gansynth

synth = gansynth.load("hf://{repo}")
wave = synth.notes(synth.sample_latents(1), [60])[0]
```

```
gansynth generate --model hf://{repo} --midi song.mid -o song.wav
gansynth serve --model hf://{repo}
```

## Sounds

Random instruments of seed 0, not chosen.
"""
_PICTURE = re.compile(r"\n## [^\n]*\n\n!\[[^\n]*\n")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")
_PUBLIC = "https://huggingface.co"


@dataclass(frozen=True)
class Judged:
    """A report: its JSON, its text without pictures, and the digests of the models, cut short."""

    data: bytes
    text: str
    models: frozenset[str]


@dataclass(frozen=True)
class Pushed:
    """What was pushed: the repository's address, its page, and the files."""

    address: str
    url: str
    files: tuple[str, ...]


def push(
    synth: Synth,
    repo: str,
    *,
    report: PathLike | None = None,
    license: str | None = None,
    private: bool = False,
    overwrite: bool = False,
) -> Pushed:
    """Put a model, its card and its sounds on the Hub, as one commit.

    Parameters
    ----------
    synth : Synth
    repo : str
        "user/name"; made if it is missing.
    report : path or None
        Folder of an evaluation, whose table the card shows.
    license : str or None
        Of the model, in the Hub's words, such as "cc0-1.0".
    private : bool
        Make a repository that only its owner sees.
    overwrite : bool
        Whether to replace a model that is there.

    Raises
    ------
    InputError
        If the name, the report or an option is wrong, or huggingface_hub is missing.
    ModelError
        If the Hub refuses it or can't be reached.
    OutputError
        If the repository has a model already (without `overwrite`).
    """
    file = check_repository(repo)
    if license is not None and not _LICENSE.fullmatch(license):
        raise InputError(f"license={license!r}: must be one of the Hub's names, as cc0-1.0 or mit.")
    evaluated = None if report is None else read_report(report)
    if evaluated is not None:
        _check_judged(evaluated, synth, report)
    require("hub", "push")
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint(), library_name="gansynth", library_version=__version__)
    with hub_errors(f"push={repo!r}", file):
        there = api.repo_exists(file.repo) and api.file_exists(file.repo, MODEL_FILE)
    if there and not overwrite:
        raise OutputError(f"push={repo!r}: has a model already; use --force / overwrite=True.")
    with TemporaryDirectory() as folder:
        names = write_repository(Path(folder), synth, file.repo, evaluated, license)
        with hub_errors(f"push={repo!r}", file):
            url = api.create_repo(file.repo, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=file.repo,
                folder_path=folder,
                commit_message=f"Model of gansynth {__version__}",
            )
    return Pushed(f"hf://{file.repo}", str(url), tuple(names))


def check_repository(repo: str) -> HubFile:
    """The repository of that name; raises `InputError` if it is none."""
    try:
        file = parse_address(f"hf://{repo.removeprefix('hf://')}")
    except ModelError:
        file = None
    if file is None or file != HubFile(file.repo):
        raise InputError(f"repo={repo!r}: must be USER/NAME, as in ada/glass-organ.")
    return file


def read_report(folder: PathLike) -> Judged:
    """The report in a folder that `evaluate` wrote; raises `InputError` if there is none."""
    place = as_path(folder)
    try:
        data, text = (place / JSON).read_bytes(), (place / MARKDOWN).read_text("utf-8")
        settings = json.loads(data)["settings"]
        models = {str(text) for name, text in settings.items() if name.startswith("model ")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise InputError(
            f"report={str(folder)!r}: {JSON} and {MARKDOWN} can't be read ({reason}); give the "
            "folder that gansynth evaluate wrote."
        ) from None
    return Judged(data, _PICTURE.sub("", text), frozenset(models))


def _check_judged(report: Judged, synth: Synth, folder: PathLike | None) -> None:
    """Raise `InputError` unless the report is about this model."""
    if synth.model.digest()[:16] not in report.models:
        others = ", ".join(sorted(report.models)) or "none"
        raise InputError(
            f"report={str(folder)!r}: is of another model ({others}); evaluate the one that you "
            "push."
        )


def write_repository(
    folder: Path, synth: Synth, repo: str, report: Judged | None, license: str | None
) -> list[str]:
    """Write what is pushed; returns the names of the files."""
    save_model(folder / MODEL_FILE, synth.model)
    (folder / "sounds").mkdir()
    sounds = []
    for words, latent in _heard(synth):
        name = f"sounds/{safe_stem(words)}.flac"
        wave = synth.notes(latent, [synth.pitches[len(synth.pitches) // 2]])[0]
        write_audio(folder / name, wave, synth.sample_rate, bits="16")
        sounds.append((words, name))
    write_text(folder / CARD, card_text(synth, repo, sounds, report, license))
    if report is not None:
        (folder / JSON).write_bytes(report.data)
    return sorted(
        str(place.relative_to(folder).as_posix()) for place in folder.rglob("*") if place.is_file()
    )


def _heard(synth: Synth) -> list[tuple[str, NDArray[np.float32]]]:
    """Names and latents of instruments to be heard."""
    latents = synth.sample_latents(max(_SOUNDS, len(synth.families)))
    if not synth.families:
        return [(f"instrument {number}", z) for number, z in enumerate(latents[:_SOUNDS], 1)]
    return [
        (family, synth.to_family(latents[row : row + 1], family)[0])
        for row, family in enumerate(synth.families)
    ]


def card_text(
    synth: Synth,
    repo: str,
    sounds: Sequence[tuple[str, str]],
    report: Judged | None,
    license: str | None,
) -> str:
    """The model card: Markdown with the head that the Hub reads."""
    head = ["library_name: gansynth", "tags: [audio, music, neural-synthesis, gansynth]"]
    head += [f"license: {license}"] if license else []
    facts = {
        "pitches": f"MIDI {describe_pitches(synth.pitches)}",
        "families": ", ".join(synth.families),
        "velocities": ", ".join(map(str, synth.velocities)),
        "latents": f"{synth.latent_size} numbers",
        "notes": f"{synth.note_samples / synth.sample_rate:g} s at {synth.sample_rate} Hz",
        "network": synth.model.config.g_fn,
        "digest": synth.model.digest(),
    }
    base = f"{endpoint() or _PUBLIC}/{repo}/resolve/main"
    rows = "\n".join(f"| {name} | {text} |" for name, text in facts.items() if text)
    text = _CARD.format(head="\n".join(head), name=repo.partition("/")[2], repo=repo, rows=rows)
    for words, name in sounds:
        text += f'\n{words}: <audio controls src="{base}/{name}"></audio>\n'
    if report is not None:
        table = report.text.replace("\n## ", "\n### ")
        text += "\n" + table.replace("# ", "## ", 1)
    return text
