"""The command: `nukki up`, `nukki cut` and the cluster's processes."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from nukki.cut_command import cut
from nukki.errors import NukkiError
from nukki.models_command import models
from nukki.precision_command import precision


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nukki")
def main() -> None:
    """Cut subjects out of photos, on your own machine."""


main.add_command(cut)
main.add_command(models)
main.add_command(precision)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the API listens.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Its port; 0 for any free one.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("nukki-data"),
    show_default=True,
    help="The folder that keeps everything.",
)
@click.option("--model", help="The segmenter to serve.  [default: the best pulled]")
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="That model's weights.  [default: those in the models folder]",
)
def up(host: str, port: int, data: Path, model: str | None, checkpoint: Path | None) -> None:
    """Run the whole service here, until Ctrl-C."""
    from nukki.stack import AlreadyRunning, ServiceDied, Stack
    from shared.checkpoints import resolve
    from shared.errors import ConfigError
    from shared.settings import Settings

    named = {"model": model, "checkpoint": checkpoint}
    try:
        choice = resolve(Settings.load(**{name: value for name, value in named.items() if value}))
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
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
    except (AlreadyRunning, ConfigError, ServiceDied) as error:
        raise click.ClickException(str(error)) from error
    finally:
        # A second Ctrl-C must not cut the drain short.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stack.stop()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@main.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-results"),
    show_default=True,
    help="Where the PNGs go.",
)
def demo(output: Path) -> None:
    """Start everything, cut a sample photo four ways, stop everything."""
    from nukki.demo import run
    from shared.errors import ServiceError

    signal.signal(signal.SIGTERM, _interrupt)  # so that its folder goes with it
    try:
        status = run(output)
    except (ServiceError, NukkiError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    raise SystemExit(status)


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def api(arguments: tuple[str, ...]) -> None:
    """Run the API alone, as a cluster does."""
    from api.__main__ import main as serve

    raise SystemExit(serve(list(arguments)))


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def worker(arguments: tuple[str, ...]) -> None:
    """Run this host's workers, as a cluster does."""
    from worker.launcher.__main__ import main as launch

    raise SystemExit(launch(list(arguments)))


@main.command()
def courier() -> None:
    """Run the courier (webhooks and upkeep), as a cluster does."""
    from worker.courier.__main__ import main as carry

    raise SystemExit(carry())


if __name__ == "__main__":
    main()
