"""The notebooks, run from the first cell to the last without a network, as a reader would."""

from __future__ import annotations

from pathlib import Path

import mido
import nbformat
import pytest

nbclient = pytest.importorskip("nbclient", reason="nbclient, which runs notebooks, isn't installed")
pytest.importorskip("ipykernel", reason="ipykernel, which runs notebooks, isn't installed")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Outputs that show that a notebook did what it says.
SHOWS = {
    "play": ["<audio controls", "my-instrument.sfz, .dspreset, .sf2, .multisample"],
    "train": ["12 pitches", "<audio controls"],
    "evaluate": ["bundled", "Fréchet"],
    "gradients": ["at first", "dB after 2 steps", "<audio controls"],
}


def test_there_is_a_check_for_every_notebook() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(SHOWS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_begin_with_what_colab_needs_and_hold_no_outputs(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "%pip install" in code[0].source
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert "import IPython" not in "".join(cell.source for cell in code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    monkeypatch.setenv("GANSYNTH_MINUTES", "0.02")
    monkeypatch.setenv("GANSYNTH_STEPS", "2")
    song = mido.MidiFile(ROOT / "demo" / "bwv846.mid")
    del song.tracks[-1][100:]  # a few bars are enough to read by
    (tmp_path / "demo").mkdir()
    song.save(tmp_path / "demo" / "bwv846.mid")
    (tmp_path / "notebooks").mkdir()
    notebook = nbformat.read(path, 4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path / "notebooks")}},
    )
    client.execute()
    outputs = str([cell.get("outputs", []) for cell in notebook.cells])
    for words in SHOWS[path.stem]:
        assert words in outputs
