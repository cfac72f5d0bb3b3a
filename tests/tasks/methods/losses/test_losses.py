"""Losses are PyTorch's, however a batch is split. Alone: pytest tests/tasks/methods/losses/test_losses.py."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from schemas.errors import RecipeError
from schemas.recipe.loading import load_recipe
from schemas.recipe.training import CrossEntropy, Focal
from tasks.methods.losses.loss import balance, count_classes
from tasks.methods.losses.table import LOSSES

NUM_ITEMS, NUM_CLASSES = 23, 4
LOSS_PARTS = [
    CrossEntropy(),
    CrossEntropy(label_smoothing=0.1),
    CrossEntropy(class_weights="balanced"),
    CrossEntropy(label_smoothing=0.2, class_weights="balanced"),
    Focal(),
    Focal(gamma=0.5, class_weights="balanced"),
]


def make_items(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels: one class each, tokens of which some do not count, or any number of labels."""
    torch.manual_seed(5)
    logits = 3 * torch.randn(NUM_ITEMS, NUM_CLASSES)
    if kind == "multi-hot":
        return logits, (torch.rand(NUM_ITEMS, NUM_CLASSES) < torch.tensor([0.1, 0.3, 0.5, 0.9])).float()
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 3, 0] * 3)[:NUM_ITEMS]
    return logits, labels.masked_fill(torch.arange(NUM_ITEMS) % 5 == 2, -100) if kind == "tokens" else labels


def make(part, labels: torch.Tensor):
    return LOSSES[part.kind](part, count_classes(labels, NUM_CLASSES))


def mean(loss, logits: torch.Tensor, labels: torch.Tensor, size: int = NUM_ITEMS) -> torch.Tensor:
    """The loss of an effective batch in micro-batches of `size` items."""
    parts = list(zip(logits.split(size), labels.split(size), strict=True))
    return sum(loss.total(*part) for part in parts) / sum(loss.weight(part[1]) for part in parts)


@pytest.mark.parametrize("part", LOSS_PARTS[:4], ids=str)
@pytest.mark.parametrize("kind", ["rows", "tokens"])
def test_cross_entropy_is_pytorchs(part: CrossEntropy, kind: str):
    logits, labels = make_items(kind)
    weights = balance(part.class_weights, count_classes(labels, NUM_CLASSES))
    expected = functional.cross_entropy(logits, labels, weight=weights, label_smoothing=part.label_smoothing)

    assert mean(make(part, labels), logits, labels).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("part", LOSS_PARTS[:4], ids=str)
def test_binary_cross_entropy_is_the_cross_entropy_of_no_and_yes_over_all_labels(part: CrossEntropy):
    """A label with logit z is a question of two classes with logits 0 and z."""
    logits, labels = make_items("multi-hot")
    weights = balance(part.class_weights, count_classes(labels, NUM_CLASSES))
    total = weight = 0.0
    for number in range(NUM_CLASSES):
        pair = torch.stack([torch.zeros(NUM_ITEMS), logits[:, number]], dim=1)
        truth = labels[:, number].long()
        of_label = torch.ones(2) if weights is None else weights[number]
        total += functional.cross_entropy(
            pair, truth, weight=of_label, label_smoothing=part.label_smoothing, reduction="sum"
        )
        weight += of_label[truth].sum()

    assert mean(make(part, labels), logits, labels).item() == pytest.approx((total / weight).item(), rel=1e-5)


def test_binary_cross_entropy_without_weights_is_pytorchs():
    logits, labels = make_items("multi-hot")
    expected = functional.binary_cross_entropy_with_logits(logits, labels)

    assert mean(make(CrossEntropy(), labels), logits, labels).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("part", LOSS_PARTS, ids=str)
@pytest.mark.parametrize("kind", ["rows", "tokens", "multi-hot"])
@pytest.mark.parametrize("size", [1, 7])
def test_splitting_a_batch_changes_neither_loss_nor_gradient(part, kind: str, size: int):
    logits, labels = make_items(kind)
    loss = make(part, labels)
    results = []
    for pieces in (NUM_ITEMS, size):
        leaf = logits.clone().requires_grad_(True)
        value = mean(loss, leaf, labels, pieces)
        value.backward()
        results.append((value.item(), leaf.grad))

    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["rows", "tokens", "multi-hot"])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_focal_loss_with_gamma_0_is_cross_entropy(kind: str, weights: str):
    logits, labels = make_items(kind)
    focal = make(Focal(gamma=0, class_weights=weights), labels)
    plain = make(CrossEntropy(class_weights=weights), labels)

    assert mean(focal, logits, labels).item() == pytest.approx(mean(plain, logits, labels).item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["rows", "multi-hot"])
def test_focal_loss_is_the_papers_equation(kind: str):
    logits, labels = make_items(kind)
    if kind == "rows":
        true = logits.softmax(1).gather(1, labels[:, None])
    else:
        yes = logits.sigmoid()
        true = torch.where(labels > 0, yes, 1 - yes)
    expected = (-((1 - true) ** 2) * true.log()).mean()

    assert mean(make(Focal(), labels), logits, labels).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_loss_of_a_certain_answer_has_a_finite_gradient(gamma: float):
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    make(Focal(gamma=gamma), labels=torch.tensor([0, 0])).total(logits, torch.tensor([0, 0])).backward()

    assert torch.isfinite(logits.grad).all()
    assert logits.grad[1].abs().max() > 0.5
    assert logits.grad[0].abs().max() < 1e-6


def test_items_that_do_not_count_have_no_loss_and_no_weight():
    nothing = torch.full((3,), -100)
    for part in (CrossEntropy(label_smoothing=0.1), Focal(), Focal(class_weights="balanced")):
        loss = LOSSES[part.kind](part, np.array([1, 2, 3, 4]))

        assert loss.total(torch.randn(3, NUM_CLASSES), nothing) == 0
        assert loss.weight(nothing) == 0


def test_losses_of_half_precision_logits_are_summed_in_full_precision():
    logits, labels = make_items("rows")
    for part in LOSS_PARTS:
        total = make(part, labels).total(logits.bfloat16(), labels)

        assert total.dtype == torch.float32
        assert total.item() == pytest.approx(make(part, labels).total(logits, labels).item(), rel=0.02)


def test_balanced_weights_are_scikit_learns():
    _, labels = make_items("rows")
    expected = compute_class_weight("balanced", classes=np.arange(NUM_CLASSES), y=labels.numpy())

    assert balance("balanced", count_classes(labels, NUM_CLASSES)).numpy() == pytest.approx(expected)


def test_balanced_weights_of_labels_let_no_and_yes_weigh_the_same_in_sum():
    _, labels = make_items("multi-hot")
    weights = balance("balanced", count_classes(labels, NUM_CLASSES))

    for number in range(NUM_CLASSES):
        yes = labels[:, number].sum()
        assert (weights[number, 1] * yes).item() == pytest.approx(NUM_ITEMS / 2)
        assert (weights[number, 0] * (NUM_ITEMS - yes)).item() == pytest.approx(NUM_ITEMS / 2)


@pytest.mark.parametrize("counts", [[3, 0, 5], [[4, 4], [0, 8], [4, 4]], [[4, 4], [8, 0], [4, 4]]])
def test_class_without_items_cannot_be_balanced(counts: list):
    with pytest.raises(
        RecipeError, match=r"class 1 \(label or tag, counted from 0\) is on none or on all of the training items"
    ):
        LOSSES["focal"](Focal(class_weights="balanced"), np.array(counts))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.loss={kind: hinge}", "training.loss.kind is 'hinge'; expected one of cross-entropy, focal"),
        ("training.loss={kind: cross-entropy, label_smoothing: 0.6}", "label_smoothing is 0.6; Input should be less"),
        ("training.loss={kind: focal, label_smoothing: 0.1}", "label_smoothing is not a field; the fields there are"),
    ],
)
def test_wrong_loss_is_refused(make_recipe, override: str, expected: str):
    with pytest.raises(RecipeError, match=expected):
        load_recipe(make_recipe(), (override,))
