"""The memory of `projected`: features of earlier covers, and the latents that generated them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..metrics.kernel_distance import witness


class MemoryBank(nn.Module):
    """Features of the last `SIZE` real and `SIZE` generated covers, (SIZE, D) each; saved in checkpoints.

    One batch is too small to estimate the mixture of covers; hundreds are enough (docs/decisions/the-mixture.md).
    """

    SIZE = 256  # a larger bank holds older fakes, and a generator that chases them oscillates

    def __init__(self, features: int):
        super().__init__()
        self.register_buffer("real", torch.zeros(self.SIZE, features))
        self.register_buffer("fake", torch.zeros(self.SIZE, features))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))  # rows filled so far, from the end

    def witness(self, fake: Tensor) -> Tensor:
        """Above 0 for overrepresented covers, below 0 for underrepresented ones: (B, D) -> (B,); 0 with an empty bank.

        Unfilled rows get weight 0 instead of being sliced off, because `count` is known only on the device.
        """
        filled = torch.arange(self.SIZE, 0, -1, device=fake.device) <= self.count
        precise = torch.float32 if fake.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
        return witness(*(rows.to(precise) for rows in (fake, self.real, self.fake)), filled.to(precise))

    def add(self, real: Tensor, fake: Tensor) -> None:
        """Add as many of each, (B, D), and drop the oldest."""
        append(self.real, real)
        append(self.fake, fake)
        self.count.add_(len(real)).clamp_(max=self.SIZE)

    def is_full(self) -> Tensor:
        """Whether all rows are filled, ()."""
        return self.count >= self.SIZE

    def standardized(self, rows: Tensor) -> Tensor:
        """Rows (B, D) in standard deviations of the real covers' features from their means, clipped to -4 and 4.

        Clipped, because a feature that is 0 for nearly all covers would outweigh all others.
        """
        mean, deviation = self.real.mean(0), self.real.std(0)
        return ((rows - mean) / (deviation + 1e-3 * deviation.mean() + 1e-12)).clamp(-4, 4)


class LatentPool(nn.Module):
    """The last `SIZE` latents, with labels and the features of their covers; saved in checkpoints, 40 MB.

    For implicit maximum likelihood estimation (Li and Malik 2018, arXiv:1809.09087) combined with a GAN, as in Yu et
    al. 2020, "Inclusive GAN" (arXiv:2004.03355): docs/decisions/covering-real-covers.md.
    """

    SIZE = 4_096

    def __init__(self, latent_dim: int, features: int):
        super().__init__()
        self.register_buffer("z", torch.zeros(self.SIZE, latent_dim))
        self.register_buffer("labels", torch.full((self.SIZE,), -1))  # -1: not filled yet
        self.register_buffer("features", torch.zeros(self.SIZE, features))

    def nearest(
        self, targets: Tensor, labels: Tensor, standardized: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The row nearest to each of `targets` (B, D), standardized, among rows of its label, and whether there is one.

        Euclidean; (B,) both.
        """
        distances = torch.cdist(targets, standardized(self.features))
        distances, rows = distances.masked_fill(labels[:, None] != self.labels, torch.inf).min(1)
        return rows, distances.isfinite()

    def add(self, z: Tensor, labels: Tensor, features: Tensor) -> None:
        """Add latents (B, latent_dim), labels (B,) and features (B, D), and drop the oldest."""
        append(self.z, z)
        append(self.labels, labels)
        append(self.features, features)


def append(buffer: Tensor, rows: Tensor) -> None:
    """Append rows (B, ...) to a buffer (N, ...) in place, and drop its first B."""
    buffer.copy_(torch.cat([buffer, rows.to(buffer)])[-len(buffer) :])
