"""Task ``denoise``: noisy to clean."""

from pydantic import Field
from torch import Tensor

from gansmith.core.noise import Noise
from gansmith.parts.tasks.base import Task, tasks


@tasks.register("denoise")
class Denoise(Task):
    """The source is the image with Gaussian noise, clipped to [-1, 1]; each image has its own noise strength.

    source = clip(x + sigma n), n normal, sigma uniform in [0, most]: one network learns weak and strong noise.
    Source: Zhang et al. 2017 (DnCNN), arXiv:1608.03981, section 3.4: blind Gaussian denoising.
    Differs: clipped, as image files are. Alpha gets no noise.
    """

    most: float = Field(0.4, gt=0, le=2, description="largest standard deviation; 0.4 is 51 of 255 levels")

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the noisy images."""
        sigma = self.most * noise.uniform("task/strength", 1, 1, 1)
        noisy = (images + sigma * noise.normal("task/noise", *images.shape[1:])).clamp(-1, 1)
        if images.shape[1] == 4:
            noisy[:, 3] = images[:, 3]
        return noisy
