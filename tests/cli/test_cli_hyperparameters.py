"""`gansynth train --list`, and `--set` of `train` and `init`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gansynth import config as configs
from gansynth.networks.family import presets

RunCli = Callable[..., Any]


def test_the_list_has_every_preset_and_hyperparameter_with_its_rule(run_cli: RunCli) -> None:
    result = run_cli("train", "--list")
    assert (result.code, result.err) == (0, "")
    words = " ".join(result.out.split())
    for name, (_, preset) in presets().items():
        assert f"{name} {preset.meaning}" in words
    assert "as in the preset mel_prog_hires: " in words
    for option in configs.options():
        assert f" {option.name}=" in words
        assert f" {option.help.rstrip()} Must {option.rule.removeprefix('must ')}." in words


def test_the_list_shows_the_values_of_a_preset(run_cli: RunCli) -> None:
    lines = run_cli("train", "--list", "--preset", "fast").out.splitlines()
    assert {'  g_fn="frames"', "  fmap_max=384", "  batch_size_schedule=[8]"} <= set(lines)
    result = run_cli("train", "--list", "--preset", "fats")
    assert result.code == 2
    assert "preset='fats': must be one of mel_prog_hires, quick_test" in result.err


def test_init_takes_set_as_train_does(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    words = ["init", "--preset", "tiny", "--hparams", '{"fmap_max": 4, "kernel_size": 1}']
    made = run_cli(*words, "--set", "fmap_max=2", "--set", "scale_mode=ALL", "-o", path)
    assert made.code == 0, made.err
    config = json.loads(run_cli("info", "--json", path).out)["config"]
    assert (config["fmap_max"], config["kernel_size"]) == (2, 1)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("fmap_max", "set='fmap_max': must be NAME=VALUE, as in --set fmap_max=128."),
        ("fmap_mx=2", "fmap_mx=2: there is no such hyperparameter. Did you mean fmap_max?"),
        ("kernel_size=0", "kernel_size=0: must be a whole number from 1 to 31."),
    ],
)
def test_a_bad_change_is_refused(run_cli: RunCli, tmp_path: Path, change: str, text: str) -> None:
    result = run_cli("init", "--preset", "tiny", "--set", change, "-o", tmp_path / "m.safetensors")
    assert (result.code, result.err) == (2, f"error: {text}\n")
    assert list(tmp_path.iterdir()) == []
