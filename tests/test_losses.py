"""train.losses equals torch's own cross-entropy where that exists, and the formula where it does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from train.losses import LOSSES, balanced_weights, make_loss, smooth

COUNTS = torch.tensor([3995, 436, 4097, 7215, 4830, 3171, 4965])


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(40, 7, generator=generator) * 3, torch.randint(7, (40,), generator=generator)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_cross_entropy_equals_torchs_with_label_smoothing(share: float) -> None:
    logits, labels = batch()
    ours = make_loss("cross-entropy", COUNTS)(logits, smooth(labels, 7, share))
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels, label_smoothing=share))


def test_weighted_equals_torchs_with_balanced_weights() -> None:
    logits, labels = batch()
    ours = make_loss("weighted", COUNTS)(logits, smooth(labels, 7, 0.0))
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels, weight=COUNTS.sum() / (7 * COUNTS)))


def test_balanced_weights_even_out_the_classes_and_spare_empty_ones() -> None:
    torch.testing.assert_close(balanced_weights(COUNTS) * COUNTS, torch.full((7,), float(COUNTS.sum()) / 7))
    assert balanced_weights(torch.tensor([2, 0, 2])).tolist() == pytest.approx([2 / 3, 0, 2 / 3])


def test_focal_equals_the_formula() -> None:
    logits, labels = batch()
    p = logits.softmax(1)[torch.arange(40), labels]
    torch.testing.assert_close(
        make_loss("focal", COUNTS)(logits, smooth(labels, 7, 0.0)), (-((1 - p) ** 2) * p.log()).mean()
    )


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_least_at_the_truth_and_has_a_gradient(name: str) -> None:
    logits, labels = batch()
    loss, targets = make_loss(name, COUNTS), smooth(labels, 7, 0.0)
    assert loss(targets * 20, targets) < 1e-6 < loss(logits, targets)
    logits.requires_grad_()
    loss(logits, targets).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[torch.arange(40), labels] < 0).all()  # more of the true label, less loss


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_logits_far_apart_stay_finite(name: str) -> None:
    logits = torch.tensor([[60000.0, -60000.0, 0, 0, 0, 0, 0]]).half()
    assert make_loss(name, COUNTS)(logits, smooth(torch.tensor([1]), 7, 0.1)).isfinite()


def test_smoothed_targets_add_up_to_1() -> None:
    targets = smooth(torch.tensor([2]), 4, 0.2)
    torch.testing.assert_close(targets, torch.tensor([[0.05, 0.05, 0.85, 0.05]]))


def test_an_unknown_loss_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"Unknown loss 'focl'\. Known: cross-entropy, weighted, focal"):
        make_loss("focl", COUNTS)
