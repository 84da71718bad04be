"""Hyperparameters: defaults and presets as published, every rule with its exact words."""

import dataclasses
import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawing import large_examples
from gansynth import config as configs
from gansynth.config import Config, from_dict, from_json, preset
from gansynth.convert.experiment import from_experiment
from gansynth.errors import ConfigError, GansynthError

ORIGINAL_DEFAULTS = {
    "train_root_dir": "/tmp/gansynth/train",
    "train_data_path": "",
    "tfds_data_dir": "",
    "dataset_name": "nsynth_tfds",
    "data_type": "mel",
    "audio_length": 64000,
    "sample_rate": 16000,
    "data_normalizer": "specgrams_prespecified_normalizer",
    "normalizer_margin": 0.8,
    "normalizer_num_examples": 1000,
    "mag_normalizer_a": 0.0661371661726,
    "mag_normalizer_b": 0.113718730221,
    "p_normalizer_a": 0.8,
    "p_normalizer_b": 0.0,
    "gradient_penalty_target": 1.0,
    "gradient_penalty_weight": 10.0,
    "real_score_penalty_weight": 0.001,
    "generator_ac_loss_weight": 1.0,
    "discriminator_ac_loss_weight": 1.0,
    "gen_gl_consistency_loss_weight": 0.0,
    "generator_learning_rate": 4e-4,
    "discriminator_learning_rate": 4e-4,
    "adam_beta1": 0.0,
    "adam_beta2": 0.99,
    "fake_batch_size": 16,
    "batch_size_schedule": [16, 8],
    "stable_stage_num_images": 32,
    "transition_stage_num_images": 32,
    "total_num_images": 320,
    "save_summaries_num_images": 100,
    "train_progressive": True,
    "train_time_limit": None,
    "train_time_stage_multiplier": 1.0,
    "g_fn": "specgram",
    "d_fn": "specgram",
    "latent_vector_size": 256,
    "kernel_size": 3,
    "start_height": 4,
    "start_width": 8,
    "scale_mode": "ALL",
    "scale_base": 2,
    "num_resolutions": 7,
    "simple_arch": False,
    "to_rgb_activation": "tanh",
    "fmap_base": 512,
    "fmap_decay": 1.0,
    "fmap_max": 128,
}

PUBLISHED_CHANGES = {
    "start_height": 2,
    "start_width": 16,
    "batch_size_schedule": [8],
    "total_num_images": 11_000_000,
    "stable_stage_num_images": 800_000,
    "transition_stage_num_images": 800_000,
    "save_summaries_num_images": 10_000,
    "generator_learning_rate": 8e-4,
    "discriminator_learning_rate": 8e-4,
    "generator_ac_loss_weight": 10.0,
    "discriminator_ac_loss_weight": 10.0,
    "fake_batch_size": 61,
    "fmap_base": 4096,
    "fmap_max": 256,
}

# Of networks that the original doesn't have.
OWN_DEFAULTS = {
    "frame_texture": True,
    "narrow_noise": False,
    "vibrato": False,
    "frame_blocks": 2,
    "adversarial_weight": 0.25,
    "code_information_weight": 0.001,
    "final_rate_share": 0.1,
    "average_share": 0.05,
}


def rejects(message: str) -> Any:
    """The error with exactly this text."""
    return pytest.raises(ConfigError, match=rf"^{re.escape(message)}\Z")


# Presets


def test_quick_test_holds_every_name_of_the_original_with_its_default() -> None:
    assert preset("quick_test").to_dict() == {**ORIGINAL_DEFAULTS, **OWN_DEFAULTS}
    assert Config() == preset("quick_test")


def test_mel_prog_hires_is_the_published_configuration() -> None:
    config = preset("mel_prog_hires")
    assert config.to_dict() == {**ORIGINAL_DEFAULTS, **OWN_DEFAULTS, **PUBLISHED_CHANGES}
    assert config.final_shape == (128, 1024)
    assert (config.n_fft, config.hop_length) == (2048, 512)
    assert config.num_stages == 13
    assert [config.channels(b) for b in range(8)] == [256] * 5 + [128, 64, 32]


def test_tiny_has_the_published_geometry_and_hardly_any_channels() -> None:
    tiny, published = preset("tiny"), preset("mel_prog_hires")
    for name in ("data_type", "final_shape", "num_resolutions", "audio_length", "data_normalizer"):
        assert getattr(tiny, name) == getattr(published, name)
    assert max(tiny.channels(b) for b in range(8)) == 8


def test_fast_sees_frames_of_the_published_geometry() -> None:
    fast, published = preset("fast"), preset("mel_prog_hires")
    assert (fast.g_fn, fast.d_fn, fast.train_progressive) == ("frames", "frames", False)
    assert (fast.final_shape, fast.audio_length) == (published.final_shape, published.audio_length)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"d_fn": "specgram"},
            "d_fn='specgram': doesn't go with g_fn='frames'; give both the same.",
        ),
        (
            {"train_progressive": True},
            "train_progressive=true: g_fn=frames doesn't grow; set it to false.",
        ),
        (
            {"data_type": "phase"},
            "data_type='phase': g_fn=frames needs linear or mel, whose phase stands still while a "
            "tone does.",
        ),
    ],
)
def test_frames_contradict(changes: dict[str, Any], message: str) -> None:
    with rejects(message):
        preset("fast").replace(**changes)


def test_an_unknown_preset_names_the_nearest_one() -> None:
    assert configs.preset_names() == ("mel_prog_hires", "quick_test", "tiny", "fast", "hifi")
    with rejects(
        "preset='quick': must be one of mel_prog_hires, quick_test, tiny, fast, hifi. "
        "Did you mean quick_test?"
    ):
        preset("quick")


def test_every_option_is_documented() -> None:
    options = configs.options()
    assert {o.name: o.default for o in options} == {
        **ORIGINAL_DEFAULTS,
        **OWN_DEFAULTS,
        "batch_size_schedule": (16, 8),
    }
    for option in options:
        assert option.rule.startswith("must be ")
        assert option.help[-1] in ".…"
        assert len(option.help) > 8


# Rules of single values

WHOLE = "must be a whole number from 1 to 65536."
RATE = "must be a whole number from 1000 to 384000."
MARGIN = "must be a number above 0, up to 1."
SECONDS = "must be null or a number above 0."
BATCHES = "must be a list of whole numbers of 1 or more, at least one."
DATA_TYPES = "must be one of mel, linear, phase, wave."
NO_SUCH = "there is no such hyperparameter."


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("train_root_dir", 3, "must be text."),
        ("simple_arch", 1, "must be true or false."),
        ("train_progressive", None, "must be true or false."),
        ("latent_vector_size", True, WHOLE),
        ("latent_vector_size", 16.0, WHOLE),
        ("latent_vector_size", "16", WHOLE),
        ("latent_vector_size", 0, WHOLE),
        ("latent_vector_size", 65537, WHOLE),
        ("sample_rate", 999, RATE),
        ("sample_rate", math.nan, RATE),
        ("kernel_size", 32, "must be a whole number from 1 to 31."),
        ("normalizer_margin", 0, MARGIN),
        ("normalizer_margin", 1.01, MARGIN),
        ("normalizer_margin", True, MARGIN),
        ("mag_normalizer_a", 0.0, "must be a number of magnitude 1e-06 or more."),
        ("mag_normalizer_b", math.inf, "must be a number."),
        ("gradient_penalty_weight", math.nan, "must be a number of 0 or more."),
        ("gradient_penalty_weight", -1, "must be a number of 0 or more."),
        ("generator_learning_rate", "fast", "must be a number above 0."),
        ("generator_learning_rate", 0, "must be a number above 0."),
        ("adam_beta2", 1.0, "must be a number from 0 to below 1."),
        ("train_time_limit", 0, SECONDS),
        ("train_time_limit", True, SECONDS),
        ("batch_size_schedule", (), BATCHES),
        ("batch_size_schedule", 8, BATCHES),
        ("batch_size_schedule", (8, 0), BATCHES),
        ("batch_size_schedule", (8, True), BATCHES),
        ("data_type", "liner", f"{DATA_TYPES} Did you mean linear?"),
        ("data_type", 1, DATA_TYPES),
        ("scale_mode", "W", "must be one of ALL, H."),
        ("to_rgb_activation", "tan", "must be one of tanh, linear. Did you mean tanh?"),
        ("kernel_sise", 3, f"{NO_SUCH} Did you mean kernel_size?"),
        ("zzz", "a", NO_SUCH),
    ],
)
def test_a_wrong_value_is_told_with_its_name_and_rule(name: str, value: Any, rule: str) -> None:
    with rejects(f"{name}={value!r}: {rule}"):
        from_dict({name: value})
    with rejects(f"{name}={value!r}: {rule}"):
        preset("tiny").replace(**{name: value})


def test_a_list_from_json_is_a_schedule() -> None:
    assert from_dict({"batch_size_schedule": [8, 4]}).batch_size_schedule == (8, 4)
    with rejects(f"batch_size_schedule=(8, 0.5): {BATCHES}"):
        from_json('{"batch_size_schedule": [8, 0.5]}')


def test_numbers_too_large_for_floating_point_break_the_rule_like_any_other() -> None:
    digits = "1" + "0" * 400
    with rejects(f"mag_normalizer_b={digits}: must be a number."):
        from_json(f'{{"mag_normalizer_b": {digits}}}')
    with rejects(f"train_time_limit={digits}: must be null or a number above 0."):
        from_json(f'{{"train_time_limit": {digits}}}')


def test_the_error_is_one_of_ours_and_a_value_error() -> None:
    with pytest.raises(GansynthError):
        Config(kernel_size=0)
    with pytest.raises(ValueError, match="kernel_size=0"):
        Config(kernel_size=0)


# Rules between values


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"audio_length": 80000},
            "audio_length=80000: the final image of 256 x 512 covers only 66304 samples; "
            "shorten the notes or add a resolution.",
        ),
        (
            {"data_type": "wave", "start_width": 1, "scale_mode": "H"},
            "audio_length=64000: the final image of 256 x 1 covers only 256 samples; "
            "shorten the notes or add a resolution.",
        ),
        (
            {"start_width": 6},
            "start_width=6: gives 384 frequency bins; spectral data types need a power of two of "
            "2 or more.",
        ),
        (
            {"start_width": 1, "scale_mode": "H"},
            "start_width=1: gives 1 frequency bins; spectral data types need a power of two of "
            "2 or more.",
        ),
        (
            {"data_type": "wave", "start_width": 2, "scale_mode": "H"},
            "start_width=2: data_type=wave needs width 1 and scale_mode=H.",
        ),
        (
            {"data_type": "wave", "start_width": 1},
            "start_width=1: data_type=wave needs width 1 and scale_mode=H.",
        ),
        (
            {"fmap_base": 64},
            "fmap_base=64: leaves no channel in block 7 of 7; raise fmap_base or lower fmap_decay.",
        ),
        (
            {"num_resolutions": 13},
            "num_resolutions=13: the final image would be 16384 x 32768, at most 8,388,608 points "
            "are made; use fewer resolutions, a smaller start or a smaller scale_base.",
        ),
        (
            {"fmap_base": 1 << 17, "fmap_max": 1024},
            "fmap_base=131072: leaves 1024 feature maps of 256 x 512 points, at most 67,108,864 "
            "numbers are made; lower fmap_base or raise fmap_decay.",
        ),
    ],
)
def test_values_that_contradict_each_other_are_told(changes: dict[str, Any], message: str) -> None:
    with rejects(message):
        Config(**changes)


def test_a_decay_that_leaves_no_channel_is_told_however_large() -> None:
    for decay in (20.0, 2000.0):
        with rejects(
            "fmap_base=512: leaves no channel in block 1 of 7; raise fmap_base or lower fmap_decay."
        ):
            Config(fmap_decay=decay)


def test_a_clip_of_exactly_the_covered_length_is_fine() -> None:
    assert Config(audio_length=66304).audio_length == 66304
    with pytest.raises(ConfigError, match="covers only 66304"):
        Config(audio_length=66305)


def test_wave_geometry_of_the_original_is_accepted() -> None:
    config = Config(data_type="wave", start_height=16, start_width=1, scale_mode="H", scale_base=4)
    assert config.final_shape == (65536, 1)


# JSON


def test_hparams_change_what_they_name() -> None:
    config = from_json('{"kernel_size": 5, "batch_size_schedule": [4, 2]}', preset("tiny"))
    assert config == preset("tiny").replace(kernel_size=5, batch_size_schedule=(4, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"lr": 1}', "lr=1: there is no such hyperparameter."),
        (
            '{"learning_rate": 1}',
            "learning_rate=1: there is no such hyperparameter. "
            "Did you mean generator_learning_rate?",
        ),
        ("[1]", "--hparams='[1]': must be one JSON object, {…}."),
        ("null", "--hparams='None': must be one JSON object, {…}."),
        ('{"mag_normalizer_b": NaN}', "mag_normalizer_b=nan: must be a number."),
        (
            "kernel_size=3",
            "--hparams: is not JSON (Expecting value: line 1 column 1 (char 0)); give one object, "
            "{…}.",
        ),
    ],
)
def test_wrong_hparams_are_told(text: str, message: str) -> None:
    with rejects(message):
        from_json(text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"kernel_size": 1' + "0" * 5000 + "}", "", "{"])
def test_text_that_json_cannot_read_is_told_in_one_line(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^--hparams: is not JSON \(.*\); give one object, {…}.$"
    ):
        from_json(text)


def test_experiment_json_returns_the_names_it_does_not_know() -> None:
    values = {"kernel_size": 5, "zeta": 1, "alpha": 2, "master": "", "ps_tasks": 0, "task": 0}
    config, unknown = from_experiment(
        json.dumps({**values, "debug_hook": False}), where="experiment.json"
    )
    assert config == Config(kernel_size=5)
    assert unknown == ["alpha", "zeta"]


def test_experiment_json_of_a_sweep_is_read_by_its_job() -> None:
    text = json.dumps({"jobs": {"a": {"kernel_size": 1}, "b": {"kernel_size": 5, "new": 1}}})
    assert from_experiment(text, where="e.json", job="b") == (Config(kernel_size=5), ["new"])
    with rejects("e.json: jobs=['a', 'b']: has no entry 'c'."):
        from_experiment(text, where="e.json", job="c")


def test_an_error_in_experiment_json_names_the_file() -> None:
    with rejects("e.json: kernel_size=0: must be a whole number from 1 to 31."):
        from_experiment('{"kernel_size": 0}', where="e.json")
    with rejects("e.json='3': must be one JSON object, {…}."):
        from_experiment("3", where="e.json")


def test_the_cluster_switches_of_the_original_are_accepted_and_dropped() -> None:
    assert configs.IGNORED_NAMES == ("master", "ps_tasks", "task", "debug_hook")
    assert from_dict(dict.fromkeys(configs.IGNORED_NAMES, object())) == Config()


# Properties

valid_changes = st.fixed_dictionaries(
    {},
    optional={
        "train_root_dir": st.text(max_size=20),
        "data_type": st.sampled_from(["mel", "linear", "phase"]),
        "audio_length": st.integers(1, 66304),
        "sample_rate": st.integers(1000, 384000),
        "normalizer_margin": st.floats(0, 1, exclude_min=True),
        "mag_normalizer_b": st.floats(allow_nan=False, allow_infinity=False),
        "gradient_penalty_weight": st.floats(0, 1e6),
        "adam_beta1": st.floats(0, 1, exclude_max=True),
        "batch_size_schedule": st.lists(st.integers(1, 10**6), min_size=1, max_size=9),
        "train_time_limit": st.none() | st.floats(1e-3, 1e9),
        "train_progressive": st.booleans(),
        "kernel_size": st.integers(1, 31),
        "to_rgb_activation": st.sampled_from(["tanh", "linear"]),
        "fmap_base": st.integers(128, 1 << 20),
        "fmap_max": st.integers(1, 512),
    },
)


@large_examples(max_examples=30)
@given(changes=valid_changes)
def test_valid_values_survive_plain_dictionaries_and_json(changes: dict[str, Any]) -> None:
    config = from_dict(changes)
    assert from_dict(config.to_dict()) == config
    assert from_json(json.dumps(config.to_dict())) == config
    assert from_experiment(json.dumps(config.to_dict()), where="e.json") == (config, [])
    for name, value in changes.items():
        assert config.to_dict()[name] == value


@large_examples(max_examples=200)
@given(
    name=st.sampled_from(sorted(ORIGINAL_DEFAULTS)),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    ),
)
def test_any_json_value_is_taken_or_told(name: str, value: Any) -> None:
    try:
        config = from_dict({name: value})
    except ConfigError as error:
        assert "\n" not in str(error)
        assert ": " in str(error)
    else:
        assert config == from_dict(config.to_dict())


def test_a_configuration_cannot_be_changed() -> None:
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.kernel_size = 5  # type: ignore[misc]
    changed = config.replace(kernel_size=5)
    assert (config.kernel_size, changed.kernel_size) == (3, 5)
