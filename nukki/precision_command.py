"""`nukki precision`: compares a model in FP32, BF16 and FP16 on your own photos."""

from __future__ import annotations

import json
from pathlib import Path

import click

from nukki.environment import changed


@click.command(
    help="Compare a model's number formats on PHOTOS, a file or a folder.\n\n"
    "Shows speed, memory and how much the masks differ from FP32's."
)
@click.argument("photos", type=click.Path(exists=True, path_type=Path))
@click.option("--model", help="Model to compare.  [default: the best one that was pulled]")
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The model's weights file.  [default: the one in the models folder]",
)
@click.option("--point", "points", multiple=True, help="X,Y on the subject.  [default: the middle]")
@click.option(
    "--runs", type=click.IntRange(1), default=3, show_default=True, help="Runs per photo."
)
@click.option(
    "--json",
    "target",
    type=click.Path(path_type=Path),
    help="Also write the table to this JSON file.",
)
def precision(
    photos: Path,
    model: str | None,
    checkpoint: Path | None,
    points: tuple[str, ...],
    runs: int,
    target: Path | None,
) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from shared.checkpoints import resolve
    from shared.errors import ServiceError
    from shared.settings import ModelSettings

    named = {"model": model, "checkpoint": checkpoint}
    try:
        choice = resolve(
            ModelSettings.load(**{name: value for name, value in named.items() if value})
        )
        if not choice.published or choice.checkpoint is None:
            raise click.ClickException(f"{choice.model} is no SAM: it has no number formats")
        from worker.segmenters.comparison import beside, measure
        from worker.segmenters.precision import Precision

        paths = _photos(photos)
        clicks = [_point(text) for text in points]
        measured = []
        for item in (Precision.FP32, Precision.BF16, Precision.FP16):
            # One process per format, so that each has its own memory peak.
            with (
                changed({"PYTHONSAFEPATH": "1"}),  # it imports nothing from this folder
                ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone,
            ):
                measured.append(alone.submit(measure, choice, item, paths, clicks, runs).result())
    except ServiceError as error:
        raise click.ClickException(str(error)) from error
    except ImportError as error:
        raise click.ClickException(f"needs pip install 'nukki[sam]': {error}") from error
    rows = [beside(item, measured[0]).as_json() for item in measured]
    click.echo(f"{choice.model} on {len(paths)} photo(s), compared with FP32")
    _print(rows)
    if target is not None:
        target.write_text(json.dumps({"model": choice.model, "rows": rows}, indent=1) + "\n")


def _photos(path: Path) -> list[Path]:
    """The photo, or a folder's photos by name; prints which other files it skips."""
    from shared.errors import ImageError
    from shared.images.probe import probe

    if path.is_file():
        return [path]
    found = []
    for item in sorted(path.iterdir()):
        if not item.is_file():
            continue
        try:
            with item.open("rb") as file:
                probe(file)
        except ImageError as error:
            click.echo(f"skipped {item.name}: {error}", err=True)
        else:
            found.append(item)
    if not found:
        raise click.ClickException(f"there are no photos in {path}")
    return found


def _point(text: str) -> tuple[int, int]:
    x, comma, y = text.partition(",")
    if not comma or not x.isdigit() or not y.isdigit():
        raise click.BadParameter(f"{text!r} is not X,Y", param_hint="--point")
    return int(x), int(y)


def _print(rows: list[dict[str, object]]) -> None:
    widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) for name in rows[0]}
    click.echo("  ".join(name.rjust(width) for name, width in widths.items()))
    for row in rows:
        click.echo("  ".join(str(row[name]).rjust(width) for name, width in widths.items()))
