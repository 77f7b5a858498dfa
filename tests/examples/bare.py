"""What a package file or an image would hold, without installing it anew: links to what is installed here."""

from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def closure(requirements):
    """The distributions that `pip install` would install, as they are here, by name."""
    found: dict[str, Distribution] = {}
    todo, done = [Requirement(line) for line in requirements], set()
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in done:
            continue
        done.add((name, frozenset(wanted.extras)))
        found[name] = distribution(wanted.name)
        for line in found[name].requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in wanted.extras or {""}
            ):
                todo.append(needed)
    return found


def link(requirements, folder):
    """Fill a folder as `pip install --target` would."""
    for name, installed in closure(requirements).items():
        tops = {file.parts[0] for file in installed.files or () if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            target = folder / top
            if not target.exists() and not top.endswith((".pth", "__editable__")):
                target.symlink_to(installed.locate_file(top))
        if name == "llama-bedrock" and not (folder / "llama_bedrock").exists():  # installed from the checkout
            (folder / "llama_bedrock").symlink_to(ROOT / "llama_bedrock")


def size(requirements):
    """Bytes of the files, without compiled ones."""
    files = [
        file.locate()
        for name, installed in closure(requirements).items()
        for file in installed.files or ()
        if name != "llama-bedrock" and "__pycache__" not in file.parts and file.parts[0] != ".."
    ]
    ours = [path for name in ("llama_bedrock", "agents", "retrievers") for path in (ROOT / name).rglob("*")]
    kept = [path for path in [*files, *ours] if path.suffix != ".pyc" and path.is_file()]
    return sum(path.stat().st_size for path in kept)
