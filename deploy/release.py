"""What a release consists of beside the images: `python -m deploy.release`, what `make release`
runs, fills dist/.

dist/sluice-VERSION-py3-none-any.whl   the client: library, command line and generated stubs
dist/sbom/NAME.cdx.json                CycloneDX: the packages of the client and of each image, in
the versions of requirements.lock,
                                       and those of the page, in the versions of package-lock.json
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
"""What is shipped -> the extra of pyproject.toml that it is installed with."""


def version() -> str:
    """Of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def build_wheel(folder: Path) -> Path:
    """The wheel of the client, built into `folder`."""
    _run("uv", "build", "--quiet", "--wheel", "--no-build-isolation", "--out-dir", str(folder))
    return folder / f"sluice-{version()}-py3-none-any.whl"


def write_sbom(name: str, folder: Path) -> Path:
    """CycloneDX of one part: what deploy/install.sh installs for it on this kind of machine, each
    package with its hashes.
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
        given=packages,
    )
    return target


def write_page_sbom(folder: Path) -> Path:
    """CycloneDX of what the page is built from."""
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


def _run(program: str, *arguments: str, given: str | None = None) -> str:
    """Standard output of a program beside this Python; standard error is shown. Ends this process
    where it fails.
    """
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(
        command, cwd=ROOT, input=given, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{program} {arguments[0]} failed with status {done.returncode}")
    return done.stdout


def main() -> None:
    """Writes everything and says where."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.release", description="The wheel of the client and the SBOMs."
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
