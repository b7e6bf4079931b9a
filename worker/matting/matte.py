"""Alpha in the unknown band round a mask's outline, holes and hair with it."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import FloatArray, UInt8Array
from worker.matting import outline
from worker.matting.alignment import aligned, haze_of, known, settled
from worker.matting.colour_odds import colour_odds
from worker.matting.guided import LocalLinear, blurred, fit, guide_of
from worker.matting.outline import Outline

#: Widths of an outline, in mask pixels, at which hair begins and at which there is nothing else.
_EDGE, _HAIR = 2.5, 5.0

#: Half the window in hair, and in the fit of the colours' evidence, in mask pixels.
_HAIR_RADIUS, _COLOUR_RADIUS = 16, 5

#: Log-odds of a pixel that the first estimate is certain of.
_CERTAIN = 4.0

#: A window's side in mask pixels, and how far colour evidence may move the window's mean. An
#: outline that is 2 pixels off moves it by 0.1. Evidence counts less from the first limit on, and
#: not at all from the second.
_WINDOW, _MOVED, _ELSEWHERE = 21, 0.15, 0.3

#: Weight of the colour evidence for a completely doubtful mask; the rest is the mask's.
_EVIDENCE = 0.8

#: The last fit's grid: photo pixels per point, and its longest side.
_GRAIN, _LONGEST = 3, 1024


def matte(mask: FloatArray, rgb: UInt8Array) -> UInt8Array:
    """The (H, W) uint8 alpha of a mask.

    Aligns the mask with the photo, in wider windows for a more doubtful mask. A mask that is soft
    without being doubtful shows hair; there the ends of alpha's scale are learnt from solid parts
    further away. A doubtful mask is weighed against the colours of subject and background. The
    result is fitted once more, on a grid that follows the photo's size.

    Args:
        mask: (h, w) float32 in 0..1, soft.
        rgb: (H, W, 3) uint8, the photo.
    """
    height, width = mask.shape
    guide = guide_of(rgb, width, height)
    seen = outline.read(mask)
    local = aligned(mask, guide, seen.doubt)
    if seen.doubt < 1:
        local = _through_hair(local, mask, guide, seen)
    if seen.doubt > 0:
        local = local.towards(_by_colour(local, mask, guide), _EVIDENCE * seen.doubt)
    local = local.fixed(np.rint(mask), known(mask, seen.doubt))
    haze = haze_of(seen.doubt)
    return _sharpened(local, rgb, haze).applied(rgb, haze)


def _through_hair(
    local: LocalLinear, mask: FloatArray, guide: FloatArray, seen: Outline
) -> LocalLinear:
    """Refit with a wider window where the outline is wide, led by pixels wholly on one side."""
    smooth = blurred(mask, 2.0)
    wide = fit(mask, blurred(guide, 0.6), _HAIR_RADIUS, 3e-5, _trust(smooth))
    share = np.clip((seen.width - _EDGE) / (_HAIR - _EDGE), 0, 1)
    return local.towards(wide, np.asarray((1 - seen.doubt) * share, np.float32))


def _by_colour(local: LocalLinear, mask: FloatArray, guide: FloatArray) -> LocalLinear:
    """The estimate as a prior, with the likelihood of every pixel's colour: Bayes, then a fit.

    Where that would move more of the subject than a misplaced outline can, the estimate stays.
    """
    prior = local.at(guide)
    evidence = _CERTAIN * (2 * prior - 1) + colour_odds(prior, guide)
    posterior = np.asarray(1 / (1 + np.exp(-evidence)), np.float32)
    found = fit(posterior, guide, _COLOUR_RADIUS, 1e-4, _trust(posterior))
    change = cv2.blur(found.at(guide) - mask, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT)
    excess = (np.abs(change).reshape(mask.shape) - _MOVED) / (_ELSEWHERE - _MOVED)
    return found.towards(local, np.asarray(np.clip(excess, 0, 1), np.float32))


def _trust(alpha: FloatArray) -> FloatArray:
    """How much a pixel is to be believed: the inverse of the variance of a side drawn by alpha."""
    return np.asarray(1 / (alpha * (1 - alpha) + 0.1), np.float32)


def _sharpened(local: LocalLinear, rgb: UInt8Array, haze: float) -> LocalLinear:
    """Fitted again to itself, finer where the photo is finer; solid and empty parts are exact."""
    height, width = local.planes[0].shape
    longest = max(rgb.shape[:2])
    scale = min(1.0, max(longest / _GRAIN, height, width, 1.0) / longest, _LONGEST / longest)
    fine = (max(width, round(rgb.shape[1] * scale)), max(height, round(rgb.shape[0] * scale)))
    guide = guide_of(rgb, *fine)
    alpha = local.resized(*fine).at(guide)
    sharp = fit(alpha, guide, 1, 1e-5)
    return sharp.fixed(np.rint(alpha), settled(alpha, 2, 2 * haze))
