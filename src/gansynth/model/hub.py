"""Models on the Hugging Face Hub: `hf://USER/NAME` stands for a model file there.

    hf://user/name                     its model.safetensors
    hf://user/name@v1                  of a branch, tag or commit
    hf://user/name/half.safetensors    another file

Files are kept in the Hub's own cache, so a model that was loaded once loads without a network.
`HF_ENDPOINT`, `HF_TOKEN` and `HF_HOME` mean what they mean everywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gansynth import __version__
from gansynth.errors import ModelError
from gansynth.extras import require

MODEL_FILE = "model.safetensors"

# A `Path` of an address has lost one of its slashes.
_SCHEME = re.compile(r"hf:/{1,2}(?=[^/]|$)")
_WORD = r"[A-Za-z0-9][\w.-]*"
_ADDRESS = re.compile(rf"({_WORD}/{_WORD})(?:@([^/\s]+))?(?:/(\S+\.safetensors))?", re.ASCII)


@dataclass(frozen=True)
class HubFile:
    """A file of a repository: `repo` is "user/name"; `revision` None is its main branch."""

    repo: str
    revision: str | None = None
    name: str = MODEL_FILE


def is_address(path: object) -> bool:
    """Whether a path is meant for the Hub."""
    return isinstance(path, str | os.PathLike) and bool(_SCHEME.match(os.fspath(path)))


def parse_address(path: str | Path) -> HubFile:
    """What `hf://…` names; raises `ModelError` if that is nothing."""
    text = str(path)
    found = _ADDRESS.fullmatch(_SCHEME.sub("", text, count=1))
    if found is None:
        raise ModelError(
            f"model={text!r}: must be hf://USER/NAME, optionally with @REVISION and the name of a "
            ".safetensors file behind it."
        )
    repo, revision, name = found.groups()
    return HubFile(repo, revision, name or MODEL_FILE)


def download(path: str | Path) -> Path:
    """The model file of an address, from the cache or the Hub.

    Raises
    ------
    ModelError
        If the address is none, there is no such repository, revision or file, or the Hub can't be
        reached and the cache doesn't have it.
    InputError
        If huggingface_hub isn't installed.
    """
    file = parse_address(path)
    require("hub", f"model={str(path)!r}")
    from huggingface_hub import hf_hub_download

    with hub_errors(f"model={str(path)!r}", file):
        return Path(
            hf_hub_download(
                file.repo,
                file.name,
                revision=file.revision,
                endpoint=endpoint(),
                library_name="gansynth",
                library_version=__version__,
            )
        )


def endpoint() -> str | None:
    """Another Hub than the public one, where `HF_ENDPOINT` names one."""
    return os.environ.get("HF_ENDPOINT") or None


@contextmanager
def hub_errors(where: str, file: HubFile) -> Iterator[None]:
    """Turn the Hub's errors into a `ModelError` that begins with `where`."""
    from huggingface_hub import errors

    log_in = "log in with `hf auth login`, or set HF_TOKEN"
    try:
        yield
    except errors.GatedRepoError:
        raise ModelError(
            f"{where}: its owner asks for consent first; give it on the repository's page, and "
            f"{log_in}."
        ) from None
    except errors.RepositoryNotFoundError:
        raise ModelError(
            f"{where}: there is no repository {file.repo} on the Hub, or it is private; check the "
            f"name, or {log_in}."
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelError(f"{where}: the repository has no revision {file.revision!r}.") from None
    except errors.LocalEntryNotFoundError:
        raise ModelError(
            f"{where}: the Hub can't be reached, and the model isn't in the cache; check the "
            "connection, and HF_ENDPOINT and HF_HUB_OFFLINE."
        ) from None
    except errors.EntryNotFoundError:
        raise ModelError(f"{where}: the repository has no file {file.name!r}.") from None
    except errors.HFValidationError:
        raise ModelError(f"{where}: {file.repo!r} isn't a repository name.") from None
    except errors.LocalTokenNotFoundError:
        raise ModelError(f"{where}: the Hub doesn't know who you are; {log_in}.") from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise ModelError(f"{where}: the Hub refuses it ({status}); {log_in}.") from None
        raise ModelError(f"{where}: the Hub answers {status}; try again later.") from None
    except OSError as error:  # no connection, a full disk
        raise ModelError(f"{where}: {error.strerror or type(error).__name__}.") from None
