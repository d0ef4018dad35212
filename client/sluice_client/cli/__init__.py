"""The command line `sluice`. Needs the extra `cli`: `pip install 'sluice[cli]'`."""

import sys


def main() -> None:
    """Entry point of the console script."""
    try:
        from sluice_client.cli.app import app
    except ModuleNotFoundError as missing:
        if missing.name not in {"typer", "rich"}:
            raise
        sys.exit(
            f"The command line needs {missing.name}, which is not installed: pip install 'sluice[cli]'"
        )
    app(prog_name="sluice")
