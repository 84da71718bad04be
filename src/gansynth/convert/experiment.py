"""The original's experiment.json: a configuration, whatever else stands in it."""

from __future__ import annotations

from gansynth.config import IGNORED_NAMES, SOUND_NAMES, Config, from_dict, json_object, options
from gansynth.errors import ConfigError

# A model's place in its training is worked out from these.
PROGRESS_NAMES = (
    "stable_stage_num_images", "transition_stage_num_images", "train_progressive",
    "train_time_limit", "train_time_stage_multiplier",
)  # fmt: skip


def from_experiment(text: str, *, where: str, job: str = "") -> tuple[Config, list[str]]:
    """Read an `experiment.json` of the original.

    Parameters
    ----------
    text : str
        The file's content.
    where : str
        The file's name, for messages.
    job : str
        Which entry of `jobs` to take, in files that hold a whole sweep (a folder's name).

    Returns
    -------
    (Config, list of str)
        The configuration, and what was left out of it, to be shown as a warning: names that this
        package doesn't know, and broken values that matter for training alone.
    """
    values = json_object(text, where)
    if isinstance(values.get("jobs"), dict):
        if not isinstance(values["jobs"].get(job), dict):
            raise ConfigError(f"{where}: jobs={sorted(values['jobs'])}: has no entry {job!r}.")
        values = values["jobs"][job]
    names = {option.name for option in options()}
    left_out = sorted(set(values) - names - set(IGNORED_NAMES))
    for name in names.intersection(values) - {*SOUND_NAMES, *PROGRESS_NAMES}:
        try:
            from_dict({name: values[name]})
        except ConfigError:
            left_out.append(f"{name}={values[name]!r:.40}")
            values = {k: v for k, v in values.items() if k != name}
    try:
        config = from_dict({k: v for k, v in values.items() if k not in left_out})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return config, sorted(left_out)
