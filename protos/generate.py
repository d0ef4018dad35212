"""Generates the Python code of all .proto files: messages, gRPC stubs and their types.

Part of `make gen`. `python protos/generate.py --check` fails if the committed files are outdated.
"""

import argparse
import filecmp
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent


def generate(target: Path) -> None:
    """Write all generated files below `target`, in the layout of the proto packages.

    Raises:
        RuntimeError: protoc rejected a file; its message is on stderr.
    """
    ours = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "sluice").rglob("*.proto"))
    vendored = ["buf/validate/validate.proto"]
    well_known = str(files("grpc_tools") / "_proto")
    # The plugins are next to the interpreter, which may not be on the PATH.
    plugins = [
        f"--plugin={name}={Path(sys.executable).with_name(name)}"
        for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    common = [
        "protoc",
        *plugins,
        f"-I{ROOT}",
        f"-I{well_known}",
        f"--python_out={target}",
        f"--mypy_out=quiet:{target}",
    ]
    services = [f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet,only_async:{target}"]
    with_services = [p for p in ours if "\nservice " in (ROOT / p).read_text()]
    without = vendored + [p for p in ours if p not in with_services]
    for arguments in ([*common, *without], [*common, *services, *with_services]):
        if protoc.main(arguments) != 0:
            raise RuntimeError("protoc failed")
    for folder in sorted({(target / p).parent for p in ours + vendored}):
        while folder != target:
            (folder / "__init__.py").touch()
            folder = folder.parent


def differing(fresh: Path) -> list[str]:
    """Return the paths, relative to protos/, whose committed content differs from that in `fresh`."""
    generated = {p.relative_to(fresh) for p in fresh.rglob("*.py*") if p.is_file()}
    committed = {
        p.relative_to(ROOT)
        for part in ("sluice", "buf")
        for p in (ROOT / part).rglob("*.py*")
        if p.suffix != ".pyc"
    }
    changed = {
        p for p in generated & committed if not filecmp.cmp(fresh / p, ROOT / p, shallow=False)
    }
    return sorted(str(p) for p in (generated ^ committed) | changed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="compare with the committed files, write nothing"
    )
    if not parser.parse_args().check:
        generate(ROOT)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        stale = differing(Path(folder))
    for path in stale:
        print(f"protos/{path} is outdated: run `make gen`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
