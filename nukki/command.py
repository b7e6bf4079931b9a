"""The command `nukki`: `up`, `cut` and the processes of a cluster."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from nukki.cut_command import cut
from nukki.errors import NukkiError
from nukki.models_command import models
from nukki.precision_command import precision


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Cut subjects out of photos on your own machine.",
)
@click.version_option(package_name="nukki")
def main() -> None:
    pass


main.add_command(cut)
main.add_command(models)
main.add_command(precision)


@main.command(help="Run the whole service on this machine until Ctrl-C.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 for any free one.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("nukki-data"),
    show_default=True,
    help="Folder for all data.",
)
@click.option("--model", help="Model to serve.  [default: the best one that was pulled]")
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The model's weights file.  [default: the one in the models folder]",
)
def up(host: str, port: int, data: Path, model: str | None, checkpoint: Path | None) -> None:
    from nukki.data_folder import AlreadyRunning
    from nukki.stack import ServiceDied, Stack
    from shared.checkpoints import resolve
    from shared.errors import ConfigError
    from shared.settings import ModelSettings

    named = {"model": model, "checkpoint": checkpoint}
    try:
        choice = resolve(
            ModelSettings.load(**{name: value for name, value in named.items() if value})
        )
    except ConfigError as error:
        raise Misconfigured(str(error)) from error
    overrides = {"NUKKI_MODEL": choice.model}
    if choice.checkpoint:
        overrides["NUKKI_CHECKPOINT"] = str(choice.checkpoint.resolve())
    click.echo(f"model    {choice.model}  {choice.checkpoint or '(no weights)'}")
    stack = Stack(data, host, port, overrides, say=click.echo)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        stack.start()
        while True:
            stack.watch(0.5)
    except KeyboardInterrupt:
        click.echo("stopping")
    except ConfigError as error:
        raise Misconfigured(str(error)) from error
    except (AlreadyRunning, ServiceDied) as error:
        raise click.ClickException(str(error)) from error
    finally:
        # A second Ctrl-C must not interrupt the shutdown.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stack.stop()


class Misconfigured(click.ClickException):
    """Prints a message and exits as every process does then: starting again would not help."""

    exit_code = os.EX_CONFIG


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@main.command(help="Start the service, cut a sample photo in four ways, and stop.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-results"),
    show_default=True,
    help="Folder for the PNGs.",
)
def demo(output: Path) -> None:
    from nukki.demo import run
    from shared.errors import ServiceError

    signal.signal(signal.SIGTERM, _interrupt)  # so that its temporary folder is deleted
    try:
        status = run(output)
    except (ServiceError, NukkiError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    raise SystemExit(status)


@main.command(
    context_settings={"ignore_unknown_options": True},
    add_help_option=False,
    help="Run only the API, as in a cluster.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def api(arguments: tuple[str, ...]) -> None:
    from shared import processes

    # In a fresh interpreter: the server's event loop must come before everything else.
    os.execv(sys.executable, processes.python("api", *arguments))  # noqa: S606


@main.command(
    context_settings={"ignore_unknown_options": True},
    add_help_option=False,
    help="Run only this host's workers, as in a cluster.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def worker(arguments: tuple[str, ...]) -> None:
    from worker.launcher.__main__ import main as launch

    raise SystemExit(launch(list(arguments)))


@main.command(help="Run only the courier (webhooks and upkeep), as in a cluster.")
def courier() -> None:
    from worker.courier.__main__ import main as carry

    raise SystemExit(carry())


if __name__ == "__main__":
    main()
