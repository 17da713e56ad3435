"""Convolutional nets: LeNet5 of LeCun, Bottou, Bengio and Haffner, and the net of Simard, Steinkraus and Platt."""

from __future__ import annotations

from typing import Any

from ...dataset import Dataset
from ...train import Change
from . import distort
from .extras import needed
from .nets import Recipe, Search, softmax_loss
from .row import Job, Outcome

RATES = (0.05, 0.1)
SHARE = 0.2  # of the training images is enough to choose one of them
REPEATS = 1

# Which of the 6 maps of S2 each of the 16 maps of C3 sees: table I of LeCun and others.
SEEN = (
    *((i, (i + 1) % 6, (i + 2) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6) for i in range(6)),
    *((i, i + 1, (i + 3) % 6, (i + 4) % 6) for i in range(2)),
    (0, 2, 3, 5),
    tuple(range(6)),
)


def lenet5(seed: int) -> Any:
    """LeNet5 up to its layer F6, with a softmax in place of the ten distances to drawn characters."""
    needed("torch")
    import torch
    from torch import nn

    torch.manual_seed(seed)

    class Squash(nn.Module):
        """1.7159 tanh(2 x / 3), which is 1 at 1."""

        def forward(self, x: Any) -> Any:
            return 1.7159 * torch.tanh(x * (2 / 3))

    class Subsample(nn.Module):
        """The mean of 2 x 2 units, times a weight and plus a bias for each map."""

        def __init__(self, maps: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(maps))
            self.bias = nn.Parameter(torch.zeros(maps))

        def forward(self, x: Any) -> Any:
            pooled = nn.functional.avg_pool2d(x, 2)
            return pooled * self.weight[:, None, None] + self.bias[:, None, None]

    class Sparse(nn.Conv2d):
        """A convolution in which each map sees only some maps below: SEEN."""

        mask: Any

        def __init__(self) -> None:
            super().__init__(6, 16, 5)
            mask = torch.zeros_like(self.weight)
            for i, below in enumerate(SEEN):
                mask[i, list(below)] = 1
            self.register_buffer("mask", mask)

        def forward(self, x: Any) -> Any:
            return nn.functional.conv2d(x, self.weight * self.mask, self.bias)

    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)), nn.ZeroPad2d(2),
        nn.Conv2d(1, 6, 5), Squash(), Subsample(6), Squash(),
        Sparse(), Squash(), Subsample(16), Squash(),
        nn.Conv2d(16, 120, 5), Squash(), nn.Flatten(),
        nn.Linear(120, 84), Squash(), nn.Linear(84, 10),
    )  # fmt: skip


def simard(seed: int) -> Any:
    """Two convolutions that skip every other place, 5 and 50 maps, then 100 units: section 4 of the source."""
    needed("torch")
    import torch
    from torch import nn

    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)), nn.ZeroPad2d((0, 1, 0, 1)),
        nn.Conv2d(1, 5, 5, stride=2), nn.Tanh(),
        nn.Conv2d(5, 50, 5, stride=2), nn.Tanh(), nn.Flatten(),
        nn.Linear(1250, 100), nn.Tanh(), nn.Linear(100, 10),
    )  # fmt: skip


def conv_row(digits: Dataset, job: Job, name: str, net: Any, distortion: Change | None = None) -> Outcome:
    """The error after `job.size` epochs, each distorted anew, at the one of RATES that validation images choose."""
    search = Search(digits, job, name, lambda seed, _: net(seed), softmax_loss, distortion)
    best, errors = search.best({f"rate-{rate:g}": Recipe(job.size, rate) for rate in RATES}, SHARE)
    by_rate = dict(zip(RATES, errors, strict=True))
    return search.repeat(best, REPEATS, {"validation_errors_by_rate": by_rate})


def lenet5_row(digits: Dataset, job: Job) -> Outcome:
    """LeNet5 on the images as they are."""
    return conv_row(digits, job, "lenet5", lenet5)


def affine_row(digits: Dataset, job: Job) -> Outcome:
    """LeNet5 on images shifted, scaled, squeezed and sheared anew in each epoch."""
    return conv_row(digits, job, "lenet5-affine", lenet5, distort.affine)


def elastic_row(digits: Dataset, job: Job) -> Outcome:
    """Simard's net on images bent anew in each epoch."""
    return conv_row(digits, job, "convnet-elastic", simard, distort.elastic)
