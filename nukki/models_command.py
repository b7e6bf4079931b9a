"""The command `nukki models`: manages the models' weights on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from shared.checkpoints import ModelsFolder
    from shared.settings import StorageSettings


@click.group(help="Download, list and verify the models' weights.")
def models() -> None:
    pass


def _dir_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--dir",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        help="Models folder.  [default: NUKKI_MODELS_DIR, else nukki-data/models]",
    )(command)


@contextmanager
def _opened(directory: Path | None) -> Iterator[tuple[ModelsFolder, StorageSettings]]:
    """The models folder and the S3 settings; the block's errors are shown in one line."""
    from shared.checkpoints import ModelsFolder
    from shared.errors import ServiceError
    from shared.settings import ModelSettings, StorageSettings

    try:
        folder = ModelsFolder(directory or ModelSettings.load().models_dir)
        yield folder, StorageSettings.load()
    except ServiceError as error:
        raise click.ClickException(str(error)) from error


class _Bar:
    """A progress bar on standard error, shown once the length is known."""

    def __init__(self, label: str, expected: int) -> None:
        self._label, self._expected = label, expected
        self._bar: Any = None
        self._shown = ExitStack()

    def __call__(self, done: int, total: int | None) -> None:
        if self._bar is None or done < self._bar.pos:  # the download started again
            self._shown.close()
            self._bar = self._shown.enter_context(
                click.progressbar(
                    length=total or self._expected,
                    label=self._label,
                    file=sys.stderr,
                )
            )
        self._bar.update(done - self._bar.pos)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.close()


@models.command(
    help="Download the weights of model NAME and verify their SHA-256.\n\n"
    "An interrupted pull continues where it stopped. `nukki models list` shows the names."
)
@click.argument("name")
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    help="https://…, s3://bucket/key or a path.  [default: Meta]",
)
@click.option("--sha256", metavar="HEX", help="Expected digest, for a model without a pinned one.")
@_dir_option
def pull(name: str, source: str | None, sha256: str | None, directory: Path | None) -> None:
    from shared.checkpoints import find
    from shared.checkpoints.pull import pull as bring

    with _opened(directory) as (folder, settings):
        model = find(name)
        with _Bar(model.file, model.size) as bar:
            pulled = bring(
                model,
                folder,
                settings,
                source=source,
                sha256=sha256,
                progress=bar,
                say=lambda line: click.echo(line, err=True),
            )
    state = "pulled and verified" if pulled.fresh else "already there, verified"
    click.echo(f"{pulled.path}  ({state}, SHA-256 {pulled.sha256})")


@models.command(
    "list",
    help="List the models, best first, and whether their weights are here.\n\n"
    '"verified" trusts the file\'s modification time; `nukki models verify` reads the whole file.',
)
@_dir_option
def list_(directory: Path | None) -> None:
    from shared.checkpoints import CATALOGUE

    with _opened(directory) as (folder, _):
        rows = [("model", "weights", "verified", "size", "digest")]
        for model in CATALOGUE.values():
            here = folder.has(model)
            size = folder.weights(model).stat().st_size if here else model.size
            known = "remembered" if folder.expected(model) else "none"
            rows.append(
                (
                    model.name,
                    "present" if here else "-",
                    ("yes" if folder.is_verified(model) else "no") if here else "-",
                    f"{size / 1e6:.0f} MB",
                    "pinned" if model.sha256 else known,
                )
            )
        present = folder.present()
    for name, weights, verified, size_, digest in rows:
        click.echo(f"{name:<24}{weights:<9}{verified:<10}{size_:>8}  {digest}")
    chosen = present[0].name if present else "grabcut, which needs no weights"
    click.echo(f"\nin {folder.path}; `nukki up` would serve {chosen}")


@models.command(
    help="Verify the SHA-256 of model NAME's weights, or of all that are here.\n\n"
    "Exits 0 if all are correct, else 1."
)
@click.argument("name", required=False)
@_dir_option
def verify(name: str | None, directory: Path | None) -> None:
    from shared.checkpoints import find
    from shared.checkpoints.folder import DigestCheck

    right = True
    with _opened(directory) as (folder, _):
        chosen = [find(name)] if name else folder.present()
        if not chosen:
            click.echo(f"no weights in {folder.path}")
        for model in chosen:
            check, digest = folder.verify(model)
            right &= check is DigestCheck.OK
            advice = {
                DigestCheck.OK: "ok",
                DigestCheck.WRONG: f"wrong: {digest}, not {folder.expected(model)}; "
                f"`nukki models pull {model.name}` downloads it again",
                DigestCheck.UNKNOWN: f"no digest is known for it: {digest}; "
                f"give one: `nukki models pull {model.name} --sha256 HEX`",
                DigestCheck.MISSING: f"not in {folder.path}; `nukki models pull {model.name}`",
            }[check]
            click.echo(f"{model.name}  {advice}")
    if not right:
        raise SystemExit(1)


@models.command(help="Print the path of model NAME's weights; exits 1 if they are not there.")
@click.argument("name")
@_dir_option
def path(name: str, directory: Path | None) -> None:
    from shared.checkpoints import find

    with _opened(directory) as (folder, _):
        model = find(name)
        if not folder.has(model):
            raise click.ClickException(
                f"{model.name} has no weights in {folder.path}: nukki models pull {model.name}"
            )
        click.echo(folder.weights(model).resolve())
