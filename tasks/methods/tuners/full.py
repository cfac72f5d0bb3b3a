"""Full fine-tuning: every weight is trained. Source: Devlin et al. 2019 (arXiv:1810.04805), section 3.2."""

from typing import Any

from schemas.recipe.tuning import FullTuning
from tasks.methods.tuners.tuner import TunerMethods


def mark_weights(tuning: FullTuning, model: Any) -> Any:
    """Require gradients of all weights, including frozen ones."""
    return model.requires_grad_(True)


def keep_all(tuning: FullTuning, model: Any) -> Any:
    return model


METHODS = TunerMethods(mark=mark_weights, whole=keep_all)
