"""The rules that fit a recipe to data, machine and budget: numbers and small functions."""

# The rules of ``COMPACT`` for gamma, learning rate, end_norm, 16 channels, and 32 channels at 32 px come from the
# trials in benchmarks/flagship/trials.md. Other widths and sides, and all rules for GPUs, are first guesses. Wherever a
# rule depends on kimg, it means how much the narrowest networks of ``COMPACT`` can train in the budget.

from collections.abc import Callable

COMPACT, POINTS, GPU, LARGE_GPU = "compact", "toy", "r3gan-small", "r3gan"
GPU_SIDES = (32, 256)
LARGE_GPU_KIMG = 10_000  # if r3gan-small can train this long, there is time for the paper's width
DEFAULT_MINUTES = 30.0  # of COMPACT; the other recipes have their own length
SIDES = ((32, 0), (48, 60), (64, 100), (96, 200), (128, 400))  # the longer side of the images, the fewest kimg for it
GAMMAS = {  # by recipe: gamma at so many pixels and such a batch size, and the power of the pixels that it grows with
    COMPACT: (5.0, 64 * 64, 64, 1.0),
    GPU: (2.0, 64 * 64, 64, 1.5),  # Huang et al. 2024, arXiv:2501.05441, has 0.05 at 32 px, 2 at 64, 150 at 256
    LARGE_GPU: (2.0, 64 * 64, 256, 1.5),
}
SMALL_PX = 28  # up to here COMPACT's networks are shallow; the pairs below are for up to SMALL_PX, and for above
NARROWEST = 16  # base channels of G and D
WIDTHS = (((2_000, 250), 32), ((6_000, 6_000), 48))  # fewest kimg (up to SMALL_PX, above) for a width
WIDER_COSTS = 3  # above SMALL_PX, 32 channels cost three times as much as 16, and a side needs its kimg with them too
BATCH = (64, 16)  # above SMALL_PX four times the steps for the same images are worth more than their noise
END_NORM = (False, True)  # a norm at the end of G's blocks
LAST_MAP = (False, True)  # G ends in a map of the image's side
DETAIL = (False, True)  # D sees a map of local detail
SHORTCUTS = (False, True)  # D adds each map to the next
INTERVAL = (8, 4)  # of R1
LR_OF_D = (1.0, 0.4)  # D's learning rate over G's; with equal rates D diverged at 64 px
LR, LR_OF_WIDTH = (2e-3, 1e-3), 0.128  # of G: the largest, and the rate times the channels of its widest layer
CLASSES, IMAGES_OF_A_CLASS = range(2, 101), 50
FEWEST_IMAGES, FEW_IMAGES = 100, 2_000  # below the first: a warning; up to the second: augmentation
OFTEN = 100  # showings of each image, above which a cheap augmentation is used
TOO_OFTEN = 10_000  # showings of each image, above which there is a warning; papers have at most 5,000 (AFHQ, ADA)
COPIES = 0.2  # share of copies above which there is a warning
P_STARTS = (0.2, 75.0)  # when the augmentation's p starts to adapt: share of the length, and at most so many kimg
P_ADAPTS = (0.2, 500.0)  # how long p takes from 0 to 1, likewise; 500 kimg are StyleGAN2-ADA's
HALF_LIFE_SHARE = 0.02  # EMA half-life as a share of the length: 500 of 25,000 kimg in the R3GAN paper
MEMORY_SHARE = 0.7  # of the machine's memory, that a run may take


def gamma_for(recipe: str, pixels: int, batch_size: int, *, large: bool = False) -> tuple[float, str]:
    """Return the weight of R1 and R2, and why: it grows with the pixels and falls with the batch.

    Source: the heuristic of StyleGAN2-ADA, Karras et al. 2020, arXiv:2006.06676: gamma = 0.0002 pixels / batch.
    Differs: the constant is each recipe's own; for COMPACT above SMALL_PX (``large``) any batch has the same weight.
    """
    gamma, at_pixels, at_batch, power = GAMMAS[recipe]
    gamma, reason = gamma * (pixels / at_pixels) ** power, f"{gamma:g} at {at_pixels**0.5:.0f} px"
    if recipe == COMPACT and large:
        return float(f"{gamma:.2g}"), f"{reason}; grows with the pixels"
    reason += f" and batch {at_batch}; grows with the pixels, falls with the batch"
    return float(f"{gamma * at_batch / batch_size:.2g}"), reason


def width_for(kimg: float, side: int) -> int:
    """Return the base channels for images with a longer side in px, where ``NARROWEST`` could train ``kimg``."""
    large = side > SMALL_PX
    enough = not large or kimg >= WIDER_COSTS * fewest_kimg(side)
    return max([NARROWEST, *(width for fewest, width in WIDTHS if enough and kimg >= fewest[large])])


def lr_for(widest: int, *, large: bool) -> float:
    """Return the learning rate of COMPACT's G by the channels of its widest layer.

    A step of Adam changes a layer's output in proportion to the number of its inputs: Yang et al. 2022,
    arXiv:2203.03466, table 3.
    """
    return float(f"{min(LR[large], LR_OF_WIDTH / widest):.2g}")


def side_for(longer: int, kimg_at: Callable[[int], float]) -> int:
    """Return the longer side of the images in px, or a smaller one that the budget can train.

    ``kimg_at`` returns the kimg that the budget allows for square images with a side.
    """
    enough = [side for side, fewest in SIDES if kimg_at(side) >= fewest]
    return longer if longer <= SIDES[0][0] or kimg_at(longer) >= fewest_kimg(longer) else min(longer, max(enough))


def fewest_kimg(side: int) -> int:
    """Return the fewest kimg that images with a longer side in px need."""
    return max(fewest for least, fewest in SIDES if least <= max(side, SIDES[0][0]))
