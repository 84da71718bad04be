"""The packed generator with and without the kernels that only some machines have."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gansynth import config as configs
from gansynth.networks import inference
from gansynth.networks.inference import PackedGenerator
from gansynth.networks.progressive import Generator


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("scales", [("ALL", 2), ("H", 2), ("H", 3)])
@pytest.mark.parametrize("progress", [0.0, 1.5, 2.0])
def test_plain_operators_and_fused_kernels_make_the_same_images(
    monkeypatch: pytest.MonkeyPatch, kernel: int, scales: tuple[str, int], progress: float
) -> None:
    config = configs.from_dict(
        {
            "kernel_size": kernel, "scale_mode": scales[0], "scale_base": scales[1],
            "num_resolutions": 3, "start_height": 4, "start_width": 4, "fmap_base": 64,
            "fmap_max": 16, "latent_vector_size": 5, "audio_length": 1, "data_type": "linear",
        }
    )  # fmt: skip
    torch.manual_seed(0)
    generator = Generator(config, 7).eval().requires_grad_(False)
    latents, labels = torch.randn(2, 5), torch.tensor([1, 6])
    expected = generator(latents, labels, progress)
    fused = PackedGenerator(generator, progress, torch.float32)(latents, labels)
    monkeypatch.setattr(inference, "_fused_kernels", lambda device, dtype: None)
    plain = PackedGenerator(generator, progress, torch.float32)(latents, labels)
    for images in (fused, plain):
        assert torch.allclose(images, expected, atol=1e-4)
        assert images.dtype == torch.float32


def test_bfloat16_keeps_the_output_layer_in_float32() -> None:
    config = configs.preset("tiny")
    torch.manual_seed(0)
    generator = Generator(config, 7).eval().requires_grad_(False)
    images = PackedGenerator(generator, 6.0, torch.bfloat16)(torch.randn(1, 16), torch.tensor([1]))
    assert images.dtype == torch.float32
    assert not torch.equal(images, images.bfloat16().float())


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="limits an x86 CPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_cpu_without_bfloat16_plays_both_precisions(tiny_model: Path, precision: str) -> None:
    code = (
        "import sys, gansynth, numpy;"
        "s = gansynth.load(sys.argv[1], 'cpu', sys.argv[2]);"
        "print(numpy.isfinite(s.notes(s.sample_latents(1), 60)).all())"
    )
    limited = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    result = subprocess.run(
        [sys.executable, "-c", code, str(tiny_model), precision],
        capture_output=True,
        text=True,
        env={**os.environ, **limited, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert result.stdout.strip() == "True", result.stderr
