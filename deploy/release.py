"""Build the release artifacts except the images: `python -m deploy.release`, run by `make release`.

dist/sluice-VERSION-py3-none-any.whl   the client: library, command line and generated stubs
dist/sbom/NAME.cdx.json                CycloneDX of the client and each image (requirements.lock)
                                       and of the page (package-lock.json)
"""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXTRAS = {
    "client": "cli",
    "upload": "upload",
    "validation": "validation",
    "druid_gateway": "druid-gateway",
    "status": "status",
    "gateway": "gateway",
}
"""Artifact -> the extra of pyproject.toml with its dependencies."""


def version() -> str:
    """Return the version in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def build_wheel(folder: Path) -> Path:
    """Build the client's wheel into `folder`; return its path."""
    _run("uv", "build", "--quiet", "--wheel", "--no-build-isolation", "--out-dir", str(folder))
    return folder / f"sluice-{version()}-py3-none-any.whl"


def write_sbom(name: str, folder: Path) -> Path:
    """Write the CycloneDX file of an artifact: the packages that deploy/install.sh installs on this
    platform, with their hashes.
    """
    target = folder / f"{name}.cdx.json"
    packages = _run(
        "uv",
        *("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--generate-hashes"),
        *("--extra", EXTRAS[name], "--constraints", "requirements.lock", "pyproject.toml"),
    )
    _run(
        "cyclonedx-py",
        *(
            "requirements",
            "--output-reproducible",
            "--pyproject",
            "pyproject.toml",
            "--mc-type",
            "application",
        ),
        *("--output-format", "JSON", "--output-file", str(target), "-"),
        stdin=packages,
    )
    return target


def write_page_sbom(folder: Path) -> Path:
    """Write the CycloneDX file of the page's packages."""
    target = folder / "page.cdx.json"
    options = (
        "--sbom-format",
        "cyclonedx",
        "--sbom-type",
        "application",
        "--package-lock-only",
        "--omit",
        "dev",
    )
    target.write_text(_run("python", "-m", "local.npm", "sbom", *options), encoding="utf-8")
    return target


def _run(program: str, *arguments: str, stdin: str | None = None) -> str:
    """Run a program of this environment; return its standard output. Exits if it fails."""
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(
        command, cwd=ROOT, input=stdin, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{program} {arguments[0]} failed with status {done.returncode}")
    return done.stdout


def main() -> None:
    """Write all artifacts and print their paths."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.release", description="Builds the client's wheel and the SBOMs."
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder (default: dist)")
    folder: Path = parser.parse_args().out
    (folder / "sbom").mkdir(parents=True, exist_ok=True)
    print(build_wheel(folder))
    for name in EXTRAS:
        print(write_sbom(name, folder / "sbom"))
    print(write_page_sbom(folder / "sbom"))


if __name__ == "__main__":
    main()
