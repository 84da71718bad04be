"""Models of the original where people have them: archives, checkpoints' names, folders above."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from gansynth import config as configs
from gansynth.convert.magenta import read_magenta
from gansynth.errors import ModelError
from gansynth.model.file import Model, initial_model, save_model
from gansynth.model.load import load_model, locate_model
from gansynth.performance.recording import model_record
from magenta_writer import write_magenta


@pytest.fixture(scope="module")
def model() -> Model:
    return initial_model(configs.preset("tiny"), list(range(24, 85)), 1)


@pytest.fixture
def folder(tmp_path: Path, model: Model) -> Path:
    return write_magenta(tmp_path / "acoustic_only", model)


def checkpoint_of(folder: Path) -> str:
    return next((folder / "stage_00012").glob("*.index")).name.removesuffix(".index")


@pytest.mark.parametrize("name", ["m.tar.gz", "m.tgz", "renamed.zip", "m"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_tar_gz_is_read_whatever_its_name(
    folder: Path, model: Model, tmp_path: Path, name: str, inside: bool
) -> None:
    with tarfile.open(tmp_path / name, "w:gz") as archive:
        archive.add(folder, "acoustic_only" if inside else ".")
    loaded, warnings = load_model(tmp_path / name)
    assert (loaded.digest(), warnings) == (model.digest(), [])


def test_a_tar_gz_writes_nowhere_else(folder: Path, model: Model, tmp_path: Path) -> None:
    (tmp_path / "evil").write_text("evil")
    with tarfile.open(tmp_path / "m.tar.gz", "w:gz") as archive:
        archive.add(folder, "acoustic_only")
        for name in ("../../evil-1", str(tmp_path / "evil-2")):
            info = archive.gettarinfo(tmp_path / "evil")
            info.name = name
            with (tmp_path / "evil").open("rb") as file:
                archive.addfile(info, file)
    assert load_model(tmp_path / "m.tar.gz")[0].digest() == model.digest()
    assert not list(tmp_path.parent.rglob("evil-*"))


def test_a_zip_with_backslashes_and_macos_shadows_is_read(
    folder: Path, model: Model, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            name = str(file.relative_to(tmp_path)).replace("/", "\\")
            archive.writestr(name, file.read_bytes())
            shadow = name.rpartition("\\")
            archive.writestr(f"__MACOSX\\{shadow[0]}\\._{shadow[2]}", b"\0")
        archive.writestr("acoustic_only\\stage_00012\\checkpoint", b"")
    loaded, warnings = load_model(tmp_path / "m.zip")
    assert (loaded.digest(), warnings) == (model.digest(), [])


@pytest.mark.parametrize("kind", ["zip", "gztar"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_half_a_download_says_so(folder: Path, tmp_path: Path, kind: str, share: float) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "m"), kind, folder))
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    for read in (load_model, read_magenta):
        with pytest.raises(ModelError) as caught:
            read(archive)
        assert (
            str(caught.value) == f"model={str(archive)!r}: is cut short; download or copy it again."
        )


@pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00001", ".meta"])
def test_a_checkpoint_means_the_folder_around_its_stages(
    folder: Path, model: Model, suffix: str
) -> None:
    path = folder / "stage_00012" / f"{checkpoint_of(folder)}{suffix}"
    loaded, warnings = load_model(path)
    assert (loaded.digest(), warnings) == (model.digest(), [])
    assert load_model(path.parent)[0].digest() == model.digest()
    assert read_magenta(path)[0].digest() == model.digest()
    assert model_record(path, "0")["path"] == str(folder)


@pytest.mark.parametrize("slashes", ["//", "/"])
def test_a_place_in_the_cloud_says_how_to_get_it(slashes: str) -> None:
    place = "magentadata/models/gansynth/acoustic_only.zip"
    with pytest.raises(ModelError) as caught:
        load_model(f"gs:{slashes}{place}")
    assert str(caught.value) == (
        f"model='gs://{place}': is not on this machine; fetch it first, with "
        f"https://storage.googleapis.com/{place} or gsutil cp -r gs://{place} ."
    )


def test_a_folder_above_names_what_was_taken_and_records_it(
    folder: Path, model: Model, tmp_path: Path
) -> None:
    above = tmp_path / "downloads"
    (above / "deeper").mkdir(parents=True)
    found = Path(shutil.move(folder, above / "deeper"))
    loaded, warnings = load_model(above)
    assert loaded.digest() == model.digest()
    assert warnings == [f"model={str(above)!r}: the model in {found}, stage 12, is used."]
    assert locate_model(above) == found
    assert model_record(above, "0")["path"] == str(found)


def test_what_is_ambiguous_is_refused(folder: Path, model: Model, tmp_path: Path) -> None:
    write_magenta(tmp_path / "other", model)
    with pytest.raises(ModelError, match=r"holds several models \(acoustic_only, other\); give"):
        load_model(tmp_path)
    save_model(folder / "model.safetensors", model)
    with pytest.raises(ModelError, match=r"holds model\.safetensors and stages of a model of the"):
        load_model(folder)


def test_a_folder_of_model_files_names_them(model: Model, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_model(tmp_path / f"{name}.safetensors", model)
    with pytest.raises(ModelError, match=r"or give one of its files: a\.safetensors, b\.safetens"):
        load_model(tmp_path)
    save_model(tmp_path / "model.safetensors", model)
    assert model_record(tmp_path, "0")["path"] == str(tmp_path / "model.safetensors")
