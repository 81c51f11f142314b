"""The rules by which a recipe is fitted to data, machine and budget: numbers and small functions, one place for each.

Those of ``COMPACT`` (gamma, learning rate, end_norm, 16 channels, and 32 for images of 32 px) come from the trials in
benchmarks/flagship/trials.md; other widths, sides and what is for GPUs are first guesses. Where kimg decide, they are
those that the narrowest networks of ``COMPACT`` can show in the time there is.
"""

from collections.abc import Callable

from gansmith.data.base import DataSpec
from gansmith.recipes.layer_table import numbers_in
from gansmith.recipes.recipe import Recipe

COMPACT, POINTS, GPU, LARGE_GPU = "compact", "toy", "r3gan-small", "r3gan"
GPU_SIDES = (32, 256)
LARGE_GPU_KIMG = 10_000  # that r3gan-small can show: then there is time for the paper's width
DEFAULT_MINUTES = 30.0  # of COMPACT; the others have a length of their own
SIDES = ((32, 0), (48, 60), (64, 100), (96, 200), (128, 400))  # the longer side of the images, the fewest kimg for it
GAMMAS = {  # by recipe: gamma, the pixels and the batch that it is for, and the power with which it grows with pixels
    COMPACT: (5.0, 64 * 64, 64, 1.0),
    GPU: (2.0, 64 * 64, 64, 1.5),  # Huang et al. 2024, arXiv:2501.05441, has 0.05 at 32 px, 2 at 64, 150 at 256
    LARGE_GPU: (2.0, 64 * 64, 256, 1.5),
}
SMALL_PX = 28  # up to here COMPACT has shallow networks and does better with the first of each of these
NARROWEST = 16  # base channels of G and D
WIDTHS = (((2_000, 250), 32), ((6_000, 6_000), 48))  # from so many kimg on, up to SMALL_PX and above
WIDER_COSTS = 3  # times as much, 32 channels instead of 16 above SMALL_PX: they, too, must show as many as a side needs
END_NORM = (False, True)  # at the end of G's blocks
INTERVAL = (8, 4)  # of R1
LR_OF_D = (1.0, 0.4)  # times that of G; with as much D blew up at 64 px
LR, LR_OF_WIDTH = (2e-3, 1e-3), 0.128  # of G: at most, and times the channels of its widest layer
CLASSES, IMAGES_OF_A_CLASS = range(2, 101), 50
FEWEST_IMAGES, FEW_IMAGES = 100, 2_000  # below: hardly enough; up to: D is shown augmented images
OFTEN = 100  # times that each image is shown; above: what D is shown is augmented too, by what costs less
TOO_OFTEN = 10_000  # the same; 5,000 are the most in the papers, of AFHQ in StyleGAN2-ADA's, and above is a warning
COPIES = 0.2  # share of copies that is worth a warning
P_STARTS = (0.2, 75.0)  # when the augmentation's p begins to adapt: share of the length, and kimg at most
P_ADAPTS = (0.2, 500.0)  # the same, in which p can go from 0 to 1; 500 are StyleGAN2-ADA's
HALF_LIFE_SHARE = 0.02  # of the length: 500 of 25,000 kimg in R3GAN's paper
# Memory: copies of each parameter (its gradient, two moments, the average and a checkpoint's) and of each number that
# leaves a layer (its gradient, real and fake), the process itself, and the share of the machine that a run may take.
# On a CPU COMPACT at 128 px took 2,080 MB with 32 channels in fp32, and 1,542 with 16 in bf16; 2,787 and 1,882 are what
# this says. On GPUs nothing was measured.
PARAMETER_COPIES, VALUE_COPIES, PROCESS_MB, MEMORY_SHARE = 6, 4, 600, 0.7


def gamma_for(recipe: str, pixels: int, batch_size: int) -> float:
    """Return the weight of R1 and R2: it grows with the pixels and falls with the batch.

    Source: the heuristic of StyleGAN2-ADA, Karras et al. 2020, arXiv:2006.06676: gamma = 0.0002 pixels / batch.
    Differs: the constant is each recipe's own.
    """
    gamma, at_pixels, at_batch, power = GAMMAS[recipe]
    return float(f"{gamma * (pixels / at_pixels) ** power * at_batch / batch_size:.2g}")


def width_for(kimg: float, side: int) -> int:
    """Return the base channels for images with a longer side, of which ``NARROWEST`` would be shown so many kimg."""
    large = side > SMALL_PX
    enough = not large or kimg >= WIDER_COSTS * fewest_kimg(side)
    return max([NARROWEST, *(width for fewest, width in WIDTHS if enough and kimg >= fewest[large])])


def lr_for(widest: int, *, large: bool) -> float:
    """Return the learning rate of COMPACT's G, whose widest layer has so many channels.

    A step of Adam changes what a layer does in proportion to its inputs: Yang et al. 2022, arXiv:2203.03466, table 3.
    """
    return float(f"{min(LR[large], LR_OF_WIDTH / widest):.2g}")


def side_for(longer: int, kimg_at: Callable[[int], float]) -> int:
    """Return the longer side of the images, or a smaller one for which the budget shows enough of them.

    ``kimg_at`` says how many kimg it shows of square images with a side.
    """
    enough = [side for side, fewest in SIDES if kimg_at(side) >= fewest]
    return longer if longer <= SIDES[0][0] or kimg_at(longer) >= fewest_kimg(longer) else min(longer, max(enough))


def fewest_kimg(side: int) -> int:
    """Return how many kimg images of a side need at least."""
    return max(fewest for least, fewest in SIDES if least <= max(side, SIDES[0][0]))


def needed_mb(recipe: Recipe, spec: DataSpec, batch_size: int) -> float:
    """Return about how many MiB a run takes with a batch size."""
    parameters, values = numbers_in(recipe, spec)
    return PROCESS_MB + 4 * (PARAMETER_COPIES * parameters + VALUE_COPIES * values * batch_size) / 2**20
