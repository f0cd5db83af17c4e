"""The kernels as text: that they are what their source says, and that their compiler takes them for every GPU."""

import fcntl
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "native/gpu"
MODULES = ("plain", "tensor", "fp8")

#: What ptxas has to take each module for, the oldest GPU that it is for, or for Volta the next one that ptxas knows.
TARGETS = {"plain": ("sm_70", "sm_75"), "tensor": ("sm_80",), "fp8": ("sm_89",)}


def body(text: str) -> list[str]:
    """Return the lines without comments, which name the compiler."""
    return [line for line in text.splitlines() if not line.lstrip().startswith("//")]


def compiled(version: str) -> Path:
    """Compile the source, if it or the compiler changed since the last time; return the folder of the text."""
    folder = ROOT / "build/tests-ptx"
    folder.mkdir(parents=True, exist_ok=True)
    sources = [KERNELS / "generate", *KERNELS.glob("*.cu"), *KERNELS.glob("*.h")]
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = folder / "made"
        newest = max(source.stat().st_mtime for source in sources)
        if not made.exists() or made.stat().st_mtime < newest or made.read_text() != version:
            made.unlink(missing_ok=True)
            subprocess.run([str(KERNELS / "generate"), str(folder)], check=True, capture_output=True)
            made.write_text(version)
    return folder


def test_the_text_is_what_the_source_compiles_to() -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc")
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    made_by = re.search(r"nvcc (\S+)\.$", (KERNELS / "plain.ptx").read_text(), re.MULTILINE)
    assert made_by is not None
    if f"V{made_by[1]}" not in version:
        pytest.skip(f"another nvcc than {made_by[1]} writes other text")
    folder = compiled(version)

    for name in MODULES:
        assert body((folder / f"{name}.ptx").read_text()) == body((KERNELS / f"{name}.ptx").read_text()), name


@pytest.mark.parametrize("name", MODULES)
def test_every_kernel_of_the_source_is_in_the_text_for_the_driver_that_is_promised(name: str) -> None:
    source, text = (KERNELS / f"{name}.cu").read_text(), (KERNELS / f"{name}.ptx").read_text()
    kernels = re.findall(r"^KERNEL(?:\s+BOUNDS\([^)]*\))?\s+(\w+)\(", source, re.MULTILINE)

    assert set(re.findall(r"\.visible \.entry (\w+)\(", text)) == set(kernels)
    version, target = {"plain": ("6.4", "sm_70"), "tensor": ("7.0", "sm_80"), "fp8": ("8.4", "sm_89")}[name]
    assert re.search(rf"^\.version {re.escape(version)}\n\.target {target}$", text, re.MULTILINE)


@pytest.mark.parametrize("name", MODULES)
def test_the_compiler_takes_the_text(name: str) -> None:
    ptxas = shutil.which("ptxas")
    if ptxas is None:
        pytest.skip("needs ptxas")
    taken = []
    for target in TARGETS[name]:
        argv = [ptxas, f"-arch={target}", "-O1", "-o", "/dev/null", str(KERNELS / f"{name}.ptx")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if "is not defined for option 'gpu-name'" in done.stderr:
            continue  # too old, or too new, for this compiler
        assert done.returncode == 0, done.stderr
        taken.append(target)

    assert taken
