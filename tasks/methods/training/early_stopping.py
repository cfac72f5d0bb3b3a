"""Early stopping that is never silently off. Source: Prechelt 1998, "Early stopping - but when?"."""

import logging
import math
from typing import Any

from transformers import EarlyStoppingCallback

log = logging.getLogger(__name__)


class Patience(EarlyStoppingCallback):
    """Stops after so many evaluations in a row without a better validation loss; says so where it never can."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        super().on_train_begin(args, state, control, **more)  # type: ignore[no-untyped-call]
        # The first evaluation is always the best so far, and stopping at the last step is not early.
        if (self.early_stopping_patience + 1) * args.eval_steps >= state.max_steps:
            log.warning(
                "training.early_stopping can never stop it early: %d evaluations, patience %d",
                math.ceil(state.max_steps / args.eval_steps),
                self.early_stopping_patience,
            )
