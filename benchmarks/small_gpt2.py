"""A small, untrained GPT-2 for the case that its weights are not available; tokenizer trained on the training texts.

    python -m benchmarks.small_gpt2 recipes/reviews/gpt2.yaml [--set A.B=C]...

Builds the folder that the recipe names as model.base, unless it exists, and runs the recipe. The tokenizer is GPT-2's
kind, byte-pair encoding of UTF-8 bytes (Radford et al. 2019, section 2.2): it has no unknown characters in any script.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from schemas.recipe.loading import load_recipe
from schemas.recipe.recipe import Recipe
from tasks.ingestion import read_source
from tasks.pinning import pin_sources

END = "<|endoftext|>"


def main(words: list[str] | None = None) -> None:
    """Build, then run."""
    from flows.commands.app import app

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args(words)
    recipe = load_recipe(arguments.recipe, tuple(arguments.overrides))
    if not recipe.model.base.startswith("."):
        parser.error(f"model.base is {recipe.model.base!r}; expected ./folder, where the model can be built")
    folder = arguments.recipe.parent / recipe.model.base
    if not folder.exists():
        build(training_texts(recipe, arguments.recipe.parent), folder, positions=recipe.problem.max_tokens)
    app(["run", str(arguments.recipe), *(part for override in arguments.overrides for part in ("--set", override))])


def training_texts(recipe: Recipe, folder: Path) -> list[str]:
    """Texts of the training source; the tokenizer never sees test rows."""
    files, _ = pin_sources(recipe.data, folder)
    return [text for text in read_source(recipe.data.train, files)["text"] if text]


def build(
    texts: Iterable[str],
    folder: Path,
    positions: int,
    vocabulary: int = 1000,
    layers: int = 2,
    width: int = 128,
    spread: float = 0.02,
) -> None:
    """Write configuration, new weights (normal, with standard deviation `spread`) and tokenizer; the same each time."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    # As GPT-2's own, without a pad token.
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END).save_pretrained(folder)
    end = tokenizer.token_to_id(END)
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=positions,
        n_embd=width,
        n_layer=layers,
        n_head=max(width // 64, 2),
        initializer_range=spread,
        bos_token_id=end,
        eos_token_id=end,
    )
    torch.manual_seed(0)
    GPT2Model(config).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\nNew weights; nothing was learned by them.\n")


if __name__ == "__main__":
    main()
