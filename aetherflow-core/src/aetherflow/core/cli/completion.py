from enum import StrEnum
from typing import Annotated

import typer


class Shell(StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell.", show_default=False)],
) -> None:
    """Print the script that makes a shell complete commands, options, flow ids and run ids.

    bash: put this line into ~/.bashrc: eval "$(aetherflow completion bash)"

    zsh: put this line into ~/.zshrc, after compinit: eval "$(aetherflow completion zsh)"

    fish: aetherflow completion fish > ~/.config/fish/completions/aetherflow.fish
    """
    from aetherflow.core.cli.app import COMPLETE_VARIABLE
    from aetherflow.core.console.typer_internals import completion_script

    typer.echo(completion_script("aetherflow", COMPLETE_VARIABLE, shell.value))
