"""The command: `nukki up`, `nukki cut` and the cluster's processes."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nukki.client import Client
from nukki.errors import ApiError, ConnectionFailed, JobFailed, NukkiError, WaitTimeout
from nukki.models_command import models
from nukki.precision_command import precision

#: Exit statuses of `nukki cut`; 2 is a wrong command line, as everywhere.
FAILED, REFUSED, UNREACHABLE = 1, 3, 4


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nukki")
def main() -> None:
    """Cut subjects out of photos, on your own machine."""


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


class _PointType(click.ParamType[tuple[float, float, int]]):
    """`X,Y` or `X,Y,0` for the background."""

    name = "X,Y[,0]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float, int]:
        numbers = _numbers(value)
        if numbers is None or len(numbers) not in {2, 3} or numbers[2:] not in ([], [0], [1]):
            self.fail(f"{value!r} is not X,Y or X,Y,0", param, ctx)
        return numbers[0], numbers[1], int(numbers[2]) if len(numbers) == 3 else 1


class _BoxType(click.ParamType[tuple[float, ...]]):
    """`X1,Y1,X2,Y2`."""

    name = "X1,Y1,X2,Y2"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        numbers = _numbers(value)
        if numbers is None or len(numbers) != 4:
            self.fail(f"{value!r} is not X1,Y1,X2,Y2", param, ctx)
        return tuple(numbers)


def _numbers(value: str) -> list[float] | None:
    try:
        numbers = [float(part) for part in str(value).split(",")]
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option(
        "--server",
        envvar="NUKKI_URL",
        default="http://127.0.0.1:8000",
        show_default=True,
        help="The server's address (NUKKI_URL).",
    )(command)
    return click.option("--api-key", envvar="NUKKI_API_KEY", help="Its key (NUKKI_API_KEY).")(
        command
    )


@main.command()
@click.argument("photo", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--point", "points", type=_PointType(), multiple=True, help="A click; ,0: not this.")
@click.option("--box", type=_BoxType(), help="Around the subject.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to; - for standard output.  [default: PHOTO-cut beside the photo]",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "webp", "jpeg"]),
    help="[default: as the output's name says, else png]",
)
@click.option("--background", help="A colour such as #ffffff.  [default: transparent]")
@click.option("--mask", is_flag=True, help="Write the mask alone.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds to wait.")
@_server_options
def cut(
    photo: Path,
    points: tuple[tuple[float, float, int], ...],
    box: tuple[float, float, float, float] | None,
    output: Path | None,
    file_format: str | None,
    background: str | None,
    mask: bool,
    timeout: float,
    server: str,
    api_key: str | None,
) -> None:
    """Cut one PHOTO out, by a running server.

    Exit status: 0 done, 1 the job failed or took too long, 2 wrong command line, 3 the server
    refused, 4 no server.
    """
    chosen = _format_of(output, file_format)
    target = output or photo.with_name(f"{photo.stem}-cut.{chosen}")
    if str(target) != "-" and not target.parent.is_dir():
        raise click.BadParameter(f"there is no folder {target.parent}", param_hint="-o")
    if not server.startswith(("http://", "https://")):
        raise click.BadParameter(f"{server!r} is not http://… or https://…", param_hint="--server")
    wanted: dict[str, str] = {"type": "mask" if mask else "cutout", "format": chosen}
    if background:
        wanted["background"] = background
    try:
        with Client(server, api_key) as client:
            job = client.submit(
                photo,
                points=[(x, y) for x, y, _ in points],
                labels=[label for _, _, label in points],
                box=box,
                output=wanted,
            )
            done = client.wait(job, timeout=timeout)
            content = client.download(done)
    except NukkiError as error:
        click.echo(f"nukki cut: {error}", err=True)
        raise SystemExit(_status(error)) from error
    if str(target) == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        target.write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"cannot write {target}: {error.strerror}") from error
    subject = done.data["subject"]
    review = f"; look at it: {', '.join(subject['reasons'])}" if subject["needs_review"] else ""
    click.echo(
        f"{target}  ({done.data['timings_ms']['total']:.0f} ms, {done.data['model']}{review})"
    )


def _format_of(output: Path | None, given: str | None) -> str:
    """The format wanted; a name that says another is a mistake."""
    suffix = "" if output is None else output.suffix.lower().removeprefix(".")
    named = {"png": "png", "webp": "webp", "jpg": "jpeg", "jpeg": "jpeg"}.get(suffix)
    if given and named and given != named:
        raise click.BadParameter(f"{output} is not a name for {given}", param_hint="--format")
    return given or named or "png"


def _status(error: NukkiError) -> int:
    match error:
        case JobFailed() | WaitTimeout():
            return FAILED
        case ConnectionFailed():
            return UNREACHABLE
        case ApiError():
            return REFUSED
        case _:
            return FAILED


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
    from shared.errors import NukkiError as ServerError

    signal.signal(signal.SIGTERM, _interrupt)  # so that its folder goes with it
    try:
        status = run(output)
    except (ServerError, NukkiError) as error:
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
    from worker.launcher import main as launch

    raise SystemExit(launch(list(arguments)))


@main.command()
def courier() -> None:
    """Run the courier (webhooks and upkeep), as a cluster does."""
    from worker.courier import main as carry

    raise SystemExit(carry())


if __name__ == "__main__":
    main()
