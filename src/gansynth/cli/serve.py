"""`gansynth serve`: words to calls of the serve room."""

from __future__ import annotations

import click

from gansynth.cli.options import device_option, model_option, precision_option
from gansynth.extras import require

_EPILOG = """\b
Examples:
  gansynth serve --open
  gansynth serve --model acoustic_only.zip --port 0
  gansynth serve --host 0.0.0.0
"""


@click.command(epilog=_EPILOG)
@model_option
@click.option(
    "--host", default="127.0.0.1",
    help="Address to listen on; 0.0.0.0 lets other machines in, by the printed link.",
)  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="0 takes a free port.")
@click.option(
    "--allow-host", "allowed_hosts", metavar="NAME", multiple=True,
    help="Host name under which a proxy or others reach this server, if it isn't this machine's "
    "own; may be repeated.",
)  # fmt: skip
@click.option(
    "--token", envvar="GANSYNTH_TOKEN", show_envvar=True, metavar="TEXT",
    help="Access token: part of the printed link, and remembered by browsers.  "
    "[default: none on 127.0.0.1, else a new one at each start]",
)  # fmt: skip
@click.option("--open", "open_browser", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--sliders/--no-sliders", default=True,
    help="Sliders for brightness, attack and more. For a model other than the bundled one, their "
    "directions are measured once, in the background.",
)  # fmt: skip
@device_option
@precision_option
def serve(
    model: str | None,
    host: str,
    port: int,
    allowed_hosts: tuple[str, ...],
    token: str | None,
    open_browser: bool,
    sliders: bool,
    device: str,
    precision: str,
) -> None:
    """Play a model in the browser.

    Serves one page on this machine: play, find and keep instruments, render MIDI files, and export
    to samplers. The page loads nothing from elsewhere.
    """
    require("serve", "the browser instrument")
    from gansynth import load
    from gansynth.cli.runner import warn
    from gansynth.evaluation.listeners.cache import default_folder
    from gansynth.serve import run

    with run.open_port(host, port) as listener:
        token = run.check_token(token, listener)
        synth = load(model, device, precision)
        warn(synth.warnings)
        run.serve(
            listener,
            host,
            synth,
            model,
            cache=default_folder(),
            measure=sliders,
            open_browser=open_browser,
            allowed_hosts=allowed_hosts,
            token=token,
            say=click.echo,
        )
