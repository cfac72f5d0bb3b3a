"""Early stopping that is never silently off. Source: Prechelt 1998, "Early stopping - but when?"."""

import logging
import math
from typing import Any

from transformers import EarlyStoppingCallback

from schemas.errors import TrainingError

log = logging.getLogger(__name__)


class Patience(EarlyStoppingCallback):
    """Stops after so many evaluations in a row without a better validation loss.

    Where the Trainer's own callback goes on without early stopping, this one raises TrainingError.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        super().on_train_begin(args, state, control, **more)  # type: ignore[no-untyped-call]
        # The first evaluation is always the best so far, and stopping at the last step is not early.
        if (self.early_stopping_patience + 1) * args.eval_steps >= state.max_steps:
            log.warning(
                "training.early_stopping can never stop it early: %d evaluations, patience %d",
                math.ceil(state.max_steps / args.eval_steps),
                self.early_stopping_patience,
            )

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **more: Any) -> None:
        name = f"eval_{args.metric_for_best_model.removeprefix('eval_')}"
        if name not in metrics:
            raise TrainingError(
                f"The evaluation after step {state.global_step} gave no {name}, which early stopping compares; it gave "
                f"{', '.join(metrics) or 'nothing'}. The validation rows must have labels that the model's loss uses."
            )
        super().on_evaluate(args, state, control, metrics, **more)  # type: ignore[no-untyped-call]
