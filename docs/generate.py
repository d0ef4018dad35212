"""Generates configuration.md from the Settings classes, and errors.md from errors.proto.

Run by `make gen`; `python docs/generate.py --check` fails if a committed page differs.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason

HERE = Path(__file__).parent
PROTOS = HERE.parent / "protos"
PROCESSES = [
    "gateway",
    "services.upload",
    "services.validation",
    "services.druid_gateway",
    "services.status",
]


def configuration() -> Iterator[str]:
    """Yield one table per process: variable, default, meaning."""
    yield "# Configuration\n"
    yield (
        "All settings are environment variables, checked at start. `make gen` generates this page from the Settings classes.\n"
    )
    for process in PROCESSES:
        kind: type[BaseSettings] = import_module(f"{process}.settings").Settings
        yield f"## `python -m {process}`\n"
        yield "| Variable | Default | Meaning |"
        yield "|---|---|---|"
        for name, field in kind.model_fields.items():
            default = field.get_default(call_default_factory=True)
            shown = (
                "**required**"
                if default is PydanticUndefined
                else "unset"
                if default in (None, "", (), [])
                else f"`{default}`"
            )
            yield f"| `{name.upper()}` | {shown} | {field.description} |"
        yield ""


def reasons() -> Iterator[str]:
    """Yield one row per code, in the order and with the comments of errors.proto."""
    comments = _comments()
    yield "# Error codes\n"
    yield (
        "`make gen` generates this page from `protos/sluice/common/v1/errors.proto`. A code without "
        "a status is a finding and never ends a call.\n"
    )
    yield "| Code | HTTP | gRPC | Who acts | Meaning | For example | What to do |"
    yield "|---|---|---|---|---|---|---|"
    for reason in ErrorReason.values():
        if reason:
            info = errors.info_of(reason)
            statuses = f"{info.http or ''} | {info.grpc or ''}"
            actor = errors.actor_name(info.actor)
            yield f"| `{errors.code_of(reason)}` | {statuses} | {actor} | {comments[reason]} | {info.example} | {info.action} |"


def _comments() -> dict[int, str]:
    """Return number of each ErrorReason value -> its comment."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "errors.binpb"
        arguments = [
            f"-I{PROTOS}",
            f"-I{files('grpc_tools') / '_proto'}",
            "--include_source_info",
            f"--descriptor_set_out={target}",
        ]
        if protoc.main(["protoc", *arguments, "sluice/common/v1/errors.proto"]) != 0:
            raise RuntimeError("protoc failed")
        file = FileDescriptorSet.FromString(target.read_bytes()).file[0]
    enum_index = next(
        index for index, enum in enumerate(file.enum_type) if enum.name == "ErrorReason"
    )
    values = file.enum_type[enum_index].value
    found = {}
    for location in file.source_code_info.location:
        match list(location.path):
            case [5, index, 2, value] if index == enum_index:
                found[values[value].number] = " ".join(location.leading_comments.split())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="compare with the committed pages; write nothing"
    )
    check = parser.parse_args().check
    stale = []
    for name, lines in {"configuration.md": configuration(), "errors.md": reasons()}.items():
        page, text = HERE / name, "\n".join(lines).rstrip("\n") + "\n"
        if check and (not page.exists() or page.read_text() != text):
            stale.append(name)
        elif not check:
            page.write_text(text)
    for name in stale:
        print(f"docs/{name} is not up to date: run `make gen`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
