"""Write the pins beside this file anew, with the SHA-256 of every file that an index has: `make pins`.

`build.txt` is what builds distributions that come as source, `run.txt` what the image holds, `dev.txt` that and all
extras. Without arguments, pins stay where pyproject.toml allows them; `make pins UPGRADE="prefect wandb"` takes the
newest of these, `UPGRADE=--all` of everything. torch and what only its builds for accelerators need have no hashes,
since they differ by machine: constraints.txt names torch's version, and torch those of the rest.
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path("infra/pins")
COMPILE = [
    *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate", "--constraint", "constraints.txt"),
]
TORCH = re.compile(r"^(torch|triton|nvidia-\S+|cuda-\S+)==.*\n(^ .*\n)*", re.MULTILINE)


def main() -> None:
    names = sys.argv[1:]
    upgrade = ["--upgrade"] if names == ["--all"] else [f"--upgrade-package={name}" for name in names]
    write("build.txt", "--group", "build", *upgrade)
    write("dev.txt", "pyproject.toml", "--all-extras", *upgrade, "--constraint", HERE / "build.txt")
    write("run.txt", "pyproject.toml", "--extra", "model", "--constraint", HERE / "dev.txt")


def write(name: str, *arguments: object) -> None:
    path = HERE / name
    # uv keeps the versions of the file that it writes.
    subprocess.run([*COMPILE, *map(str, arguments), "--output-file", path], check=True)
    path.write_text(TORCH.sub("", path.read_text()))


if __name__ == "__main__":
    main()
