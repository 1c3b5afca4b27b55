"""`python -m local.emulator --port 4566 --data-dir build/emulator`: AWS on this machine, in the foreground."""

import argparse
from pathlib import Path

from local.emulator.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.emulator", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the port on 127.0.0.1")
    parser.add_argument("--data-dir", type=Path, required=True, help="where its temporary files go")
    arguments = parser.parse_args()
    serve(arguments.port, arguments.data_dir)


if __name__ == "__main__":
    main()
