"""The timbre sliders in Chromium: principal components that a hand moves while a key is held."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from chromium import ENDLESS, ask, box_of, eventually, latent
from frames_model import made
from gansynth import load
from gansynth.model.file import save_model
from gansynth.serve import directions
from gansynth.serve.components import COMPONENTS
from gansynth.serve.descriptors import DESCRIPTORS
from gansynth.serve.directions import Direction, write_directions
from gansynth.serve.latents import along, decode_latent
from serve_running import running_server

pytest_plugins = ["chromium_fixtures"]

FOLLOWED = {"brightness": ("", ""), "timbre-1": ("purer", "noisier"), "timbre-3": ("thin", "round")}
# Of the only voice: the latent that it plays, and the samples.
PLAYS = """const [voice] = m.player.voices;
    return [voice?.latent, Array.from(voice?.buffer.getChannelData(0) ?? [])];"""


@pytest.fixture
def vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Directions of the model at tmp_path, as if measured: its sound follows three."""
    save_model(tmp_path / "knobs.safetensors", made())
    synth = load(tmp_path / "knobs.safetensors", "cpu")
    axes = np.eye(synth.latent_size, dtype=np.float32)
    names = (*DESCRIPTORS, *COMPONENTS)
    found = [
        Direction(name, axes[i % len(axes)], *((0.9, 9.0) if name in FOLLOWED else (0.1, 0.0)),
                  *FOLLOWED.get(name, ("", "")))
        for i, name in enumerate(names)
    ]  # fmt: skip
    write_directions(tmp_path / "directions.json", synth.model.digest(), found)
    monkeypatch.setattr(directions, "BUNDLED_DIRECTIONS", tmp_path / "directions.json")
    return {one.name: one.vector for one in found}


def test_a_timbre_slider_moves_the_note_that_sounds(
    open_page: Callable[..., Page],
    vectors: dict[str, np.ndarray],
    tmp_path: Path,
    errors: list[str],
) -> None:
    with running_server(tmp_path / "knobs.safetensors", measure=True) as address:
        page = open_page(address, link=None)
        sliders = page.locator("#sliders input")
        expect(sliders).to_have_count(3)  # those that the sound follows
        slider = page.get_by_role("slider", name="Timbre 1: purer to noisier")
        expect(page.get_by_role("slider", name="Timbre 3: thin to round")).to_be_visible()
        assert page.locator("#wheel option").all_text_contents() == [
            "nothing", "Brightness", "Timbre 1", "Timbre 3",
        ]  # fmt: skip
        base = latent(page)
        ask(page, f"{ENDLESS} m.hands.press('test', 62);")
        eventually(lambda: ask(page, PLAYS)[0] == base)
        before = np.array(ask(page, PLAYS)[1])

        box = box_of(slider)
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2, steps=5)
        page.mouse.up()
        expect(slider).to_have_value("1")
        eventually(lambda: latent(page) != base)
        z = decode_latent(base, len(vectors["timbre-1"]))
        wanted = along(z, {"timbre-1": 1.0}, vectors)
        np.testing.assert_allclose(decode_latent(latent(page), len(z)), wanted, atol=1e-5)
        eventually(lambda: ask(page, PLAYS)[0] == latent(page))
        after = np.array(ask(page, PLAYS)[1])
        assert np.sqrt(np.mean((after - before) ** 2) / np.mean(before**2)) > 0.1

        slider.dblclick()
        expect(slider).to_have_value("0")
        eventually(lambda: ask(page, PLAYS)[0] == base)
        np.testing.assert_array_equal(ask(page, PLAYS)[1], before)
    assert errors == []
