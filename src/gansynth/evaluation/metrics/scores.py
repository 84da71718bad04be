"""Scores from a pitch classifier's logits: accuracy, entropy and the inception score.

Engel et al. 2019, "GANSynth: Adversarial Neural Audio Synthesis", section 4. The inception score
alone can't tell notes whose pitch is unclear from notes of few pitches, so the paper adds the
other two. They are tied: log(inception score) = entropy of the mean distribution - pitch entropy.
The figures depend on the classifier, so they compare only rows that one classifier judged.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from gansynth.errors import InputError
from gansynth.evaluation.metrics.matrices import as_matrix


def pitch_accuracy(logits: Tensor | np.ndarray, labels: Tensor | np.ndarray) -> float:
    """The share of notes in which the classifier hears the pitch that was asked for.

    Parameters
    ----------
    logits : float [n, classes]
    labels : int [n]
        The pitches asked for, as indices of classes.

    Returns
    -------
    float, 0 to 1

    Raises
    ------
    InputError
        No notes, logits that aren't finite, or labels that don't fit them.
    """
    logits, labels = as_matrix(logits, "logits"), torch.as_tensor(labels).cpu()
    notes, classes = logits.shape
    if labels.shape != (notes,):
        raise InputError(f"labels={list(labels.shape)}: the shape must be [{notes}], as of logits.")
    if labels.min() < 0 or labels.max() >= classes:
        wrong = int(labels.min() if labels.min() < 0 else labels.max())
        raise InputError(f"label={wrong}: must be from 0 to {classes - 1}, an index of logits.")
    return float((logits.argmax(1) == labels).double().mean())


def pitch_entropy(logits: Tensor | np.ndarray) -> float:
    """How unsure the classifier is of a note's pitch: E_x H(p(y|x)).

    Parameters
    ----------
    logits : float [n, classes]

    Returns
    -------
    float, nats
        0 where every pitch is clear, log(classes) where none is. The paper's real notes have 0.22.

    Raises
    ------
    InputError
        No notes, or logits that aren't finite.
    """
    log_p = torch.log_softmax(as_matrix(logits, "logits"), dim=1)
    return float(_entropy(log_p).mean())


def inception_score(logits: Tensor | np.ndarray) -> float:
    """exp(E_x KL(p(y|x) || p(y))), where p(y) is the mean distribution over these notes.

    Salimans et al. 2016, over all notes at once, not over splits of them.

    Parameters
    ----------
    logits : float [n, classes]

    Returns
    -------
    float
        1 where all notes sound the same pitch or none, `classes` where each pitch is clear and
        all are equally frequent.

    Raises
    ------
    InputError
        No notes, or logits that aren't finite.
    """
    log_p = torch.log_softmax(as_matrix(logits, "logits"), dim=1)
    log_mean = torch.logsumexp(log_p, dim=0) - math.log(len(log_p))
    return float((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp())


def _entropy(log_p: Tensor) -> Tensor:
    return -(log_p.exp() * log_p).sum(1)
