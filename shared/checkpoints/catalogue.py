"""The checkpoints that Meta published, with their digests.

Meta publishes no digests. A SHA-256 is listed only if two independent sources (`Model.sources`)
state it in full; a model without one is pulled with the caller's own `--sha256`. The URLs are from
the READMEs of facebookresearch/sam2 (05d9e57) and facebookresearch/segment-anything (13ea663), the
sizes from the Git LFS pointers below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import ConfigError

#: The segmenters that have no weights.
WEIGHTLESS = ("grabcut",)

_SAM2 = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"
_SAM1 = "https://dl.fbaipublicfiles.com/segment_anything"

#: Git LFS pointers hold the SHA-256 that Hugging Face computed of an uploaded file. micro-sam and
#: 3D Slicer's extension check their users' downloads from Meta against their own lists.
_SAM2_SOURCES = (
    "https://huggingface.co/camenduru/sam2-1-hiera/commit/cdd35a45a78a3a93bc99988f4b56db40131a823a",
    "https://github.com/computational-cell-analytics/micro-sam/blob/05c57cc/micro_sam/v2/util.py",
)
_SAM1_SOURCES = (
    "https://huggingface.co/netradrishti/sam/commit/0ca332df7096f034b3d7f18f9ce6b6912dbce70b",
    "https://github.com/mazurowski-lab/SlicerSegmentWithSAM/tree/09079a9/SegmentWithSAM",
)


@dataclass(frozen=True, slots=True)
class Model:
    """One published checkpoint.

    Attributes:
        name: the segmenter's name.
        file: the file's name at Meta and in the models folder.
        url: Meta's URL of the file.
        size: its length in bytes, shown to people and used to check for free space.
        sha256: its digest in lower-case hex; None if no two public sources agree on it.
        sources: the pages that state the digest.
    """

    name: str
    file: str
    url: str
    size: int
    sha256: str | None = None
    sources: tuple[str, ...] = ()


def _sam2(name: str, size: int, sha256: str) -> Model:
    file = f"sam2.1_hiera_{name}.pt"
    return Model(f"sam2.1_hiera_{name}", file, f"{_SAM2}/{file}", size, sha256, _SAM2_SOURCES)


def _sam1(name: str, file: str, size: int, sha256: str) -> Model:
    return Model(f"sam_{name}", file, f"{_SAM1}/{file}", size, sha256, _SAM1_SOURCES)


_MODELS = (
    _sam2("large", 898_083_611, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"),
    _sam2(
        "base_plus",
        323_606_802,
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
    ),
    _sam2("small", 184_416_285, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"),
    _sam2("tiny", 156_008_466, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
    _sam1(
        "vit_h",
        "sam_vit_h_4b8939.pth",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    _sam1(
        "vit_l",
        "sam_vit_l_0b3195.pth",
        1_249_524_607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    _sam1(
        "vit_b",
        "sam_vit_b_01ec64.pth",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
)

#: The models by name, best first: all SAM 2.1 before all SAM 1, larger before smaller.
CATALOGUE: Mapping[str, Model] = {model.name: model for model in _MODELS}


def find(name: str) -> Model:
    """The published model of that name.

    Raises:
        ConfigError: there is none; the message lists the models.
    """
    if name in WEIGHTLESS:
        raise ConfigError(
            f"{name} has no weights; the models with weights are {', '.join(CATALOGUE)}"
        )
    model = CATALOGUE.get(name)
    if model is None:
        raise ConfigError(f"no such model: {name} (choose {', '.join(CATALOGUE)})")
    return model
