"""`python -m sluice_client.cli`: the same as `sluice`."""

from sluice_client.cli import main

if __name__ == "__main__":
    main()
