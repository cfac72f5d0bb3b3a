"""Parameters of deployments: a recipe by name and a few plain overrides, as Prefect's form can show them.

The form renders neither unions nor optional fields well, so some values mean "as the recipe says".
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from schemas.frozen import Frozen
from schemas.recipe.loading import load_recipe, read_recipe
from schemas.recipe.problem import Problem
from schemas.recipe.recipe import Recipe
from schemas.recipe.training import Training
from schemas.recipe.tuning import Tuning
from schemas.records.references import PretrainedRef, TokensPairRef
from schemas.settings import read_settings


def _menu(schema: dict[str, Any]) -> None:
    schema["enum"] = recipe_names(read_settings().recipes) or [schema["default"]]


RecipeName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
        title="Recipe",
        description="Its path below recipes/, without .yaml.",
        json_schema_extra=_menu,
    ),
]


class JudgeRequest(Frozen):
    recipe: RecipeName = "tweets/full"
    candidate: str = Field(
        "tweet-sentiment@challenger", title="Candidate", description="NAME@ALIAS, NAME@VERSION or a model's folder."
    )
    against: str = Field("", title="Against", description="An alias or a version; empty: as the recipe says.")


class RetrainRequest(Frozen):
    recipe: RecipeName = "tweets/full"
    train_fraction: float = Field(
        0, ge=0, le=1, title="Share of the training rows", description="0: as the recipe says."
    )
    epochs: int = Field(0, ge=0, le=1000, title="Epochs", description="0: as the recipe says.")
    learning_rate: float = Field(0, ge=0, le=1, title="Learning rate", description="0: as the recipe says.")
    seed: int = Field(-1, ge=-1, lt=2**32, title="Seed", description="-1: as the recipe says.")
    promote: bool = Field(True, title="Promote", description="Whether a candidate that passes takes the alias.")
    reason: str = Field("", max_length=1000, title="Reason", description="The reason, for the log, beside the verdict.")
    whole_recipe: str = Field(
        "",
        title="Whole recipe",
        description="A recipe as JSON or YAML, in place of the named one; its paths start at the named one's folder.",
    )

    @property
    def overrides(self) -> tuple[str, ...]:
        changes = {
            "data.train.fraction": self.train_fraction or None,
            "training.epochs": self.epochs or None,
            "training.learning_rate": self.learning_rate or None,
            "training.seeds": [self.seed] if self.seed >= 0 else None,
        }
        return tuple(f"{field}={value}" for field, value in changes.items() if value is not None)

    @property
    def title(self) -> str:
        """The recipe and its overrides, such as `tweets/full, training.epochs=3`."""
        # With a whole recipe, the named one only sets where paths start.
        whole = ["whole recipe"] if self.whole_recipe.strip() else []
        return ", ".join([self.recipe, *whole, *self.overrides])

    def resolve(self, recipes: Path) -> tuple[Recipe, Path]:
        """Return the recipe, and the folder where its relative paths start. Raises RecipeError."""
        path = recipes / f"{self.recipe}.yaml"
        if self.whole_recipe.strip():
            return read_recipe(self.whole_recipe, "whole_recipe", self.overrides), path.parent
        return load_recipe(path, self.overrides), path.parent


Part = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Part of a folder's or key's name that cannot leave it."""


class TrainRequest(Frozen):
    """A training of another run: that run's identity, and the arguments of the training step."""

    recipe: Part
    step: Part
    project: Part
    group: Part
    tokens: TokensPairRef
    pretrained: PretrainedRef
    problem: Problem
    tuning: Tuning
    training: Training

    @property
    def arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("tokens", "pretrained", "problem", "tuning", "training")}


def recipe_names(recipes: Path) -> list[str]:
    return sorted(path.relative_to(recipes).with_suffix("").as_posix() for path in recipes.rglob("*.yaml"))
