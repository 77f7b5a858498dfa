"""All that a release needs but the upload: ``release.py contents DIST`` (seconds), ``release.py whole``.

``contents`` looks into a built wheel and sdist. ``whole`` builds them twice and compares, checks them,
installs both with the oldest and the newest Python of this machine, writes the SBOM, and
leaves in dist/ what to upload.
"""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = "local,agents,ui"
TESTED_WITH = "local,aws,agents,mcp,ui,vision,qdrant,test"
TOOLS = ("build>=1.2", "twine>=6.1", "cyclonedx-bom>=7.0")
IN_SDIST = [
    *(
        "CHANGELOG.md",
        "CITATION.cff",
        "CODE_OF_CONDUCT.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "Makefile",
        "README.md",
    ),
    *(
        "SECURITY.md",
        "pyproject.toml",
        "setup.py",
        ".ci/run",
        "docs/index.md",
        "examples/demo.py",
        "tests/conftest.py",
    ),
    *("ui/package-lock.json", "llama_bedrock/app/static/licences.txt"),
]
NEVER = re.compile(r"(^|/)(__pycache__|node_modules|\.venv[^/]*|\.git|\.DS_Store)(/|$)|\.py[co]$")


def run(*command: str | Path, **options: object) -> str:
    """The output of a command; one that fails ends the check with what it printed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def say(what: str) -> None:
    print(f"ok: {what}", flush=True)


def check_version() -> str:
    """The version, which stands in four files."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    places = {
        "llama_bedrock/version.py": f'"{version}"',
        "CITATION.cff": f"version: {version}",
        "CHANGELOG.md": f"## [{version}]",
    }
    for name, text in places.items():
        if text not in (ROOT / name).read_text():
            sys.exit(f"{name} has not the version of pyproject.toml, {version}")
    if f"## [{version}] - unreleased" in (ROOT / "CHANGELOG.md").read_text():
        print(f"note: CHANGELOG.md calls {version} unreleased; it gets its date with the upload")
    say(f"version {version}, in pyproject.toml, version.py, CITATION.cff and CHANGELOG.md")
    return version


def check_contents(dist: Path) -> None:
    """What the wheel and the sdist hold, and that nobody who reads them lacks a licence."""
    [wheel], [sdist] = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        licences = packed.read("llama_bedrock/app/static/licences.txt").decode()
    with tarfile.open(sdist) as packed:
        sources = {name.partition("/")[2] for name in packed.getnames()}
    if foreign := [name for name in (*names, *sources) if NEVER.search(name)]:
        sys.exit(f"does not belong into a release: {foreign[:5]}")
    if missing := [name for name in IN_SDIST if name not in sources]:
        sys.exit(f"the sdist lacks {missing}")
    for text in ("LICENSE", "NOTICE"):
        if not any(name.endswith(f".dist-info/licenses/{text}") for name in names):
            sys.exit(f"the wheel lacks {text}")
    installed = json.loads((ROOT / "ui/package-lock.json").read_text())["packages"]
    wanted = json.loads((ROOT / "ui/package.json").read_text()).get("dependencies", {})
    for name in wanted:
        version = installed[f"node_modules/{name}"]["version"]
        if f"{name} {version}\n" not in licences:
            sys.exit(f"licences.txt lacks {name} {version}, which the page is built with; build it anew")
    say(f"{wheel.name}: {len(names)} files; {sdist.name}: {len(sources)}; licences of {', '.join(wanted)}")


def normalised(sdist: Path, epoch: int) -> None:
    """Write the archive again, sorted and with one time and owner: setuptools takes those of the machine."""
    with tarfile.open(sdist) as packed:
        members = [(member, packed.extractfile(member)) for member in sorted(packed, key=lambda m: m.name)]
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as again:
            for member, content in members:
                member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
                member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
                member.pax_headers = {}
                again.addfile(member, content)
    with sdist.open("wb") as out, gzip.GzipFile("", "wb", fileobj=out, mtime=epoch) as packed:
        packed.write(plain.getvalue())


def build(python: Path, into: Path, epoch: int) -> dict[str, str]:
    """Build both from the commit, in a folder of their own; digests by file name."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(folder, filter="fully_trusted")
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
        run(python, "-m", "build", "--outdir", into, folder, env=environment)
    [sdist] = into.glob("*.tar.gz")
    normalised(sdist, epoch)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(into.iterdir())}


def check_tests_collect(sdist: Path, pip: tuple[str | Path, ...], python: Path, work: Path) -> None:
    """The tests of the unpacked sdist are found by an environment that has its own package and ``[test]``."""
    with tarfile.open(sdist) as packed:
        packed.extractall(work, filter="data")
    [folder] = [path for path in work.iterdir() if path.name.startswith("llama_bedrock-")]
    run(*pip, f"{folder}[{TESTED_WITH}]")
    # -P: else the folder itself is imported, where agents/ and retrievers/ are not in their package.
    command = (python, "-P", "-m", "pytest", "--collect-only", "-m", "slow or not slow")
    found = re.search(r"(\d+) tests collected", run(*command, cwd=folder))
    if not found or int(found[1]) < 1000:
        sys.exit("the tests of the sdist are not found")
    say(f"{found[1]} tests are collected from the unpacked sdist")


def write_bill(python: Path, cyclonedx: Path, bill: Path) -> None:
    """The SBOM of an environment."""
    made_from = ("environment", python, "--pyproject", ROOT / "pyproject.toml")
    options = ("--output-reproducible", "--output-format", "JSON", "--output-file", bill)
    run(cyclonedx, *made_from, *options)
    say(f"SBOM of [{SHIPPED}]: {len(json.loads(bill.read_text())['components'])} components")


def main() -> None:
    epoch = int(run("git", "log", "-1", "--format=%ct", cwd=ROOT))
    if run("git", "status", "--porcelain", "--untracked-files=no", cwd=ROOT):
        print("note: what is not committed is not built")
    version = check_version()
    oldest, newest = run(ROOT / ".ci/pythons").split()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        venv.create(work / "tools", with_pip=True)
        tools = work / "tools/bin/python"
        run(tools, "-m", "pip", "install", "--quiet", *TOOLS)
        first, again = (build(tools, work / name, epoch) for name in ("first", "again"))
        if first != again:
            sys.exit(f"two builds differ: {first} and {again}")
        say("built twice, byte for byte the same")
        built = work / "first"
        run(tools, "-m", "twine", "check", "--strict", *built.iterdir())
        say("twine check --strict")
        check_contents(built)
        [wheel], [sdist] = built.glob("*.whl"), built.glob("*.tar.gz")
        for python in dict.fromkeys((oldest, newest)):
            run(ROOT / ".ci/smoke", wheel, sdist, env={**os.environ, "PYTHON": python})
            say(f"wheel and sdist installed and used with {run(python, '--version').strip()}")
        venv.create(work / "env", with_pip=False)
        python = work / "env/bin/python"
        pip = (tools, "-m", "pip", "--python", python, "install", "--quiet")
        run(*pip, f"{wheel}[{SHIPPED}]")
        write_bill(python, tools.with_name("cyclonedx-py"), built / f"llama_bedrock-{version}.cdx.json")
        check_tests_collect(sdist, pip, python, work)
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        shutil.copytree(built, ROOT / "dist")
    for name in sorted(path.name for path in (ROOT / "dist").iterdir()):
        print(f"{hashlib.sha256((ROOT / 'dist' / name).read_bytes()).hexdigest()}  dist/{name}")


if __name__ == "__main__":
    if sys.argv[1:] == ["whole"]:
        main()
    elif len(sys.argv) == 3 and sys.argv[1] == "contents":
        check_version()
        check_contents(Path(sys.argv[2]))
    else:
        sys.exit(__doc__)
