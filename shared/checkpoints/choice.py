"""Which model to serve, and with which weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shared.checkpoints.catalogue import CATALOGUE, WEIGHTLESS, Model
from shared.checkpoints.folder import ModelsFolder
from shared.errors import ConfigError
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Choice:
    """What to serve: a segmenter's name, and its weights where it has any."""

    model: str
    checkpoint: Path | None = None


def best_present(models_dir: Path) -> Model | None:
    """The best model whose weights are in that folder.

    SAM 2.1 large, base_plus, small, tiny, then SAM 1 vit_h, vit_l, vit_b. A file counts by its
    name alone: `pull` puts none there unchecked.
    """
    return next(iter(ModelsFolder(models_dir).present()), None)


def resolve(settings: Settings) -> Choice:
    """What these settings mean to serve.

    A checkpoint that is set is the model's weights; a model alone has its weights in the models
    folder; and where no model is set it is the best one present there, else `grabcut`.

    Raises:
        ConfigError: there is no such model, its weights are not there (the message says how to
            get them), or a checkpoint is set without its model.
    """
    chosen = "model" in settings.model_fields_set
    if settings.checkpoint is not None and not chosen:
        raise ConfigError("a checkpoint needs its model's name: --model (NUKKI_MODEL)")
    if not chosen:
        best = best_present(settings.models_dir)
        if best is None:
            return Choice("grabcut")
        return Choice(best.name, ModelsFolder(settings.models_dir).weights(best))
    if settings.checkpoint is not None or settings.model in WEIGHTLESS:
        _require_known(settings.model)
        return Choice(settings.model, settings.checkpoint)
    _require_known(settings.model)
    model, folder = CATALOGUE[settings.model], ModelsFolder(settings.models_dir)
    if not folder.has(model):
        raise ConfigError(
            f"{model.name} has no weights in {folder.path}; get them with: "
            f"nukki models pull {model.name}"
        )
    return Choice(model.name, folder.weights(model))


def _require_known(name: str) -> None:
    if name not in CATALOGUE and name not in WEIGHTLESS:
        raise ConfigError(f"no such model: {name} (there are grabcut, {', '.join(CATALOGUE)})")
