"""`python -m facelime_cli`: the same program as `facelime`."""

from facelime_cli.cli import main

if __name__ == "__main__":
    main()
