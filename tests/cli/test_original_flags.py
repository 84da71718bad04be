"""The original's flag syntax: dashes, values, switches and flagfiles."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from conftest import RunCli
from gansynth.cli.original_flags import OriginalCommand


@click.command(cls=OriginalCommand)
@click.option("--ckpt_dir", default="none")
@click.option("--batch_size", default=8, type=int)
@click.option("--force", is_flag=True)
def script(ckpt_dir: str, batch_size: int, force: bool) -> None:
    """Stands for one of the original's scripts."""
    click.echo(f"{ckpt_dir},{batch_size},{force}")


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ("", "none,8,False"),
        ("--ckpt_dir=a --batch_size=3", "a,3,False"),
        ("-ckpt_dir a -batch_size 3", "a,3,False"),
        ("-ckpt_dir=a --batch_size 3 -force", "a,3,True"),
        ("--force --noforce", "none,8,False"),
        ("-noforce -force", "none,8,True"),
        ("--force=true", "none,8,True"),
        ("--force=0", "none,8,False"),
        ("--ckpt_dir=a=b", "a=b,8,False"),
        ("--ckpt_dir -a", "-a,8,False"),
        ("--batch_size=2 --batch_size=5", "none,5,False"),
        ("--alsologtostderr -v 2 --nologtostderr --verbosity=-1 --batch_size=3", "none,3,False"),
    ],
)
def test_flags_are_written_as_in_the_original(run_cli: RunCli, words: str, printed: str) -> None:
    result = run_cli(*words.split(), command=script)
    assert (result.code, result.out) == (0, f"{printed}\n"), result.err


def test_a_flagfile_stands_for_its_lines(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("--force\n")
    lines = ["# of the paper", "", "-batch_size=4", "// and", "  --ckpt_dir=my model"]
    lines.append(f"-flagfile={tmp_path}/more.txt")
    (tmp_path / "flags.txt").write_text("\n".join(lines))
    for words in ([f"--flagfile={tmp_path}/flags.txt"], ["-flagfile", f"{tmp_path}/flags.txt"]):
        assert run_cli(*words, command=script).out == "my model,4,True\n"
    later = run_cli(f"--flagfile={tmp_path}/flags.txt", "--batch_size=9", command=script)
    assert later.out == "my model,9,True\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--flagfile=none.txt"], "flagfile='none.txt': can't be read ("),
        (["--flagfile=loop.txt"], "flagfile='loop.txt': flagfiles include each other; remove one."),
        (["--force=maybe"], "force='maybe': must be true or false."),
        (["--batch_sise=3"], "No such option"),
        (["--batch_size=many"], "Invalid value for '--batch_size'"),
        (["--batch_size"], "requires an argument"),
    ],
)
def test_wrong_flags_are_told(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop.txt").write_text("--flagfile=loop.txt")
    result = run_cli(*words, command=script)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


@pytest.mark.parametrize("flag", ["-h", "--help", "-help", "--helpfull", "-helpshort"])
def test_both_scripts_take_it(run_cli: RunCli, flag: str) -> None:
    from gansynth.cli.magenta import gansynth_generate
    from gansynth.cli.train import gansynth_train

    for command, word in ((gansynth_generate, "--ckpt_dir"), (gansynth_train, "--hparams")):
        result = run_cli(flag, command=command)
        assert result.code == 0
        assert word in result.out
