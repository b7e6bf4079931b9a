"""The catalogue of models, and which of them a worker serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.checkpoints import CATALOGUE, Choice, ModelsFolder, best_present, find, resolve
from shared.checkpoints.folder import parsed_digest
from shared.checkpoints.sources import bare
from shared.errors import ConfigError
from shared.settings import ModelSettings
from tests.checkpoints import (
    NAME,
)


class TestCatalogue:
    def test_each_pinned_digest_has_two_sources(self) -> None:
        for model in CATALOGUE.values():
            if model.sha256 is not None:
                assert parsed_digest(model.sha256) == model.sha256
                assert len({source.split("/")[2] for source in model.sources}) >= 2

    def test_pinned_digests_have_the_published_prefixes(self) -> None:
        begins = {
            "sam2.1_hiera_tiny": "7402e0d8",
            "sam2.1_hiera_base_plus": "a2345aed",
            "sam_vit_h": "a7bf3b02",
        }
        assert {name: (find(name).sha256 or "")[:8] for name in begins} == begins

    def test_every_model_has_its_own_file_on_metas_https_server(self) -> None:
        models = CATALOGUE.values()
        assert len({model.file for model in models}) == len({m.sha256 for m in models}) == 7
        for model in models:
            assert model.url.startswith("https://dl.fbaipublicfiles.com/")
            assert model.url.endswith(f"/{model.file}")

    def test_the_error_for_an_unknown_name_lists_the_knownfile_names(self) -> None:
        with pytest.raises(ConfigError, match=r"no such model: sam9 \(choose .*sam_vit_b\)"):
            find("sam9")

    def test_grabcut_has_no_weights(self) -> None:
        with pytest.raises(ConfigError, match="grabcut has no weights"):
            find("grabcut")


class TestChoice:
    def test_the_best_installed_model_is_chosen_otherwise_grabcut(
        self, folder: ModelsFolder
    ) -> None:
        settings = ModelSettings.load(models_dir=folder.path)
        assert best_present(folder.path) is None
        assert resolve(settings) == Choice("grabcut")
        folder.path.mkdir()
        order = ["vit_b", "vit_l", "vit_h", "tiny", "small", "base_plus", "large"]
        for part in order:
            model = next(model for name, model in CATALOGUE.items() if name.endswith(part))
            folder.weights(model).touch()
            assert best_present(folder.path) == model
            assert resolve(settings) == Choice(model.name, folder.weights(model))

    def test_a_named_model_needs_its_weights_in_the_folder(self, folder: ModelsFolder) -> None:
        settings = ModelSettings.load(models_dir=folder.path, model=NAME)
        with pytest.raises(ConfigError, match=f"nukki models pull {NAME}$"):
            resolve(settings)
        folder.path.mkdir()
        folder.weights(find(NAME)).touch()
        assert resolve(settings) == Choice(NAME, folder.weights(find(NAME)))

    def test_a_named_checkpoint_overrides_the_folder(self, folder: ModelsFolder) -> None:
        settings = ModelSettings.load(
            models_dir=folder.path, model=NAME, checkpoint=Path("mine.pt")
        )
        assert resolve(settings) == Choice(NAME, Path("mine.pt"))

    def test_a_checkpoint_without_a_model_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="needs its model's name"):
            resolve(ModelSettings.load(checkpoint=Path("mine.pt")))

    @pytest.mark.parametrize("checkpoint", [None, Path("mine.pt")])
    def test_the_error_names_an_unknown_model(self, checkpoint: Path | None) -> None:
        with pytest.raises(ConfigError, match=r"no such model: sam9 \(choose grabcut, sam2\.1"):
            resolve(ModelSettings.load(model="sam9", checkpoint=checkpoint))

    def test_the_model_can_be_set_in_the_environment(
        self, folder: ModelsFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder.path.mkdir()
        folder.weights(find(NAME)).touch()
        monkeypatch.setenv("NUKKI_MODELS_DIR", str(folder.path))
        monkeypatch.setenv("NUKKI_MODEL", "grabcut")
        assert resolve(ModelSettings.load()) == Choice("grabcut")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("https://me:secret@host:8/a/b.pt?key=secret#x", "https://host:8/a/b.pt"),
        ("s3://bucket/a/b.pt", "s3://bucket/a/b.pt"),
        ("/a/b?c.pt", "/a/b?c.pt"),
    ],
)
def test_credentials_in_a_source_are_hidden(source: str, shown: str) -> None:
    assert bare(source) == shown
