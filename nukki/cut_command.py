"""`nukki cut`: cut out one photo on a running server."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nukki.client import Client
from nukki.errors import ApiError, ConnectionFailed, JobFailed, NukkiError, WaitTimeout

#: Exit statuses; 2 is click's, for a wrong command line.
FAILED, REFUSED, UNREACHABLE = 1, 3, 4

_FORMATS = ("png", "webp", "jpeg", "avif", "zip")


class _PointType(click.ParamType[tuple[float, float, int]]):
    """`X,Y` on the subject, or `X,Y,0` on the background."""

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


class _SizeType(click.ParamType[tuple[int, int]]):
    """`WxH`, or one number for a square."""

    name = "WxH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        sides = str(value).lower().split("x")
        if len(sides) > 2 or not all(side.isdecimal() for side in sides):
            self.fail(f"{value!r} is not WxH", param, ctx)
        return int(sides[0]), int(sides[-1])


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
        help="The server's URL (NUKKI_URL).",
    )(command)
    return click.option("--api-key", envvar="NUKKI_API_KEY", help="Your API key (NUKKI_API_KEY).")(
        command
    )


@click.command()
@click.argument("photo", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--point",
    "points",
    type=_PointType(),
    multiple=True,
    help="A point on the subject, or with ,0 on the background; repeatable.",
)
@click.option("--box", type=_BoxType(), help="A box around the subject.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Output file; - for standard output.  [default: PHOTO-cut beside the photo]",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(_FORMATS),
    help="File format.  [default: by the output's name, else the preset's, else png]",
)
@click.option(
    "--preset", help="Marketplace requirements: amazon, google, coupang, smartstore, square-white."
)
@click.option("--size", type=_SizeType(), help="Canvas in pixels; one number for a square.")
@click.option("--margin", help="Pixels or a percentage, such as 5%.")
@click.option("--crop", is_flag=True, help="Crop to the subject.")
@click.option(
    "--background", help="A colour such as #ffffff.  [default: the preset's, else transparent]"
)
@click.option("--mask", is_flag=True, help="Write the mask instead of the cutout.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds to wait for the result.")
@_server_options
def cut(
    photo: Path,
    points: tuple[tuple[float, float, int], ...],
    box: tuple[float, float, float, float] | None,
    output: Path | None,
    file_format: str | None,
    preset: str | None,
    size: tuple[int, int] | None,
    margin: str | None,
    crop: bool,
    background: str | None,
    mask: bool,
    timeout: float,
    server: str,
    api_key: str | None,
) -> None:
    """Cut the subject out of PHOTO, using a running server.

    Exit status: 0 on success, 1 if the job failed or took too long, 2 for a wrong command line,
    3 if the server refused, 4 if the server cannot be reached.
    """
    chosen = _format_of(output, file_format) or ("jpeg" if preset else "png")
    target = output or photo.with_name(f"{photo.stem}-cut.{chosen}")
    if str(target) != "-" and not target.parent.is_dir():
        raise click.BadParameter(f"there is no folder {target.parent}", param_hint="-o")
    if not server.startswith(("http://", "https://")):
        raise click.BadParameter(f"{server!r} is not http://… or https://…", param_hint="--server")
    asked = {
        "type": "mask" if mask else "cutout",
        "format": chosen,
        "preset": preset,
        "size": size,
        "margin": int(margin) if margin and margin.isdecimal() else margin,
        "crop": crop,
        "background": background,
    }
    wanted = {name: value for name, value in asked.items() if value}
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
    review = f"; needs review: {', '.join(subject['reasons'])}" if subject["needs_review"] else ""
    compliance = done.data.get("compliance")
    if compliance and not compliance["passed"]:
        failed = [check for check in compliance["checks"] if not check["passed"]]
        review += "".join(
            f"; {check['name']} is {check['measured']}, not {check['wanted']}" for check in failed
        )
    click.echo(
        f"{target}  ({done.data['timings_ms']['total']:.0f} ms, {done.data['model']}{review})"
    )


def _format_of(output: Path | None, given: str | None) -> str | None:
    """The format asked for by `--format` or by the output's name; None if by neither.

    Raises:
        BadParameter: the two ask for different formats.
    """
    suffix = "" if output is None else output.suffix.lower().removeprefix(".")
    named = {"jpg": "jpeg"}.get(suffix, suffix if suffix in _FORMATS else None)
    if given and named and given != named:
        raise click.BadParameter(f"{output} is not a name for {given}", param_hint="--format")
    return given or named


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
