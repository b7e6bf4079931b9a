"""Which model to serve, and with which weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shared.checkpoints.catalogue import CATALOGUE, WEIGHTLESS, Model
from shared.checkpoints.folder import ModelsFolder
from shared.errors import ConfigError
from shared.settings import ModelSettings


@dataclass(frozen=True, slots=True)
class Choice:
    """What to serve.

    Attributes:
        model: a segmenter's name, or `package.module:factory` for one of the user's own.
        checkpoint: its weights file; None if it has none.
    """

    model: str
    checkpoint: Path | None = None

    @property
    def custom(self) -> bool:
        """Whether it is a model of the user's own."""
        return ":" in self.model

    @property
    def published(self) -> bool:
        """Whether it is one of the catalogue's models."""
        return self.model in CATALOGUE


def best_present(models_dir: Path) -> Model | None:
    """The best model whose weights are in that folder.

    The order is SAM 2.1 large, base_plus, small, tiny, then SAM 1 vit_h, vit_l, vit_b. Only the
    file's name is checked: `pull` puts no file there unverified.
    """
    return next(iter(ModelsFolder(models_dir).present()), None)


def resolve(settings: ModelSettings) -> Choice:
    """The model and the weights that these settings select.

    If a checkpoint is set, it is the model's weights. If only a model is set, its weights are in
    the models folder. If no model is set, it is the best one in that folder, else `grabcut`. A
    model of the user's own gets the checkpoint that is set, and loads nothing here.

    Raises:
        ConfigError: there is no such model, its weights are missing (the message says how to get
            them), or a checkpoint is set without a model.
    """
    chosen = "model" in settings.model_fields_set
    if settings.checkpoint is not None and not chosen:
        raise ConfigError("a checkpoint needs its model's name: --model (NUKKI_MODEL)")
    if not chosen:
        best = best_present(settings.models_dir)
        if best is None:
            return Choice("grabcut")
        return Choice(best.name, ModelsFolder(settings.models_dir).weights(best))
    choice = Choice(settings.model, settings.checkpoint)
    if choice.custom or choice.model in WEIGHTLESS:
        return choice
    if not choice.published:
        raise ConfigError(
            f"no such model: {choice.model} (choose grabcut, {', '.join(CATALOGUE)}, or "
            "package.module:factory for your own)"
        )
    if choice.checkpoint is not None:
        return choice
    model, folder = CATALOGUE[choice.model], ModelsFolder(settings.models_dir)
    if not folder.has(model):
        raise ConfigError(
            f"{model.name} has no weights in {folder.path}; get them with: "
            f"nukki models pull {model.name}"
        )
    return Choice(model.name, folder.weights(model))
