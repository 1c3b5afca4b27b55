"""`python -m tools.local.emulator --port 4566 --data-dir build/emulator`: emulate AWS here, in the foreground.

The variables OPERATOR_ACCESS_KEY_ID and OPERATOR_SECRET_ACCESS_KEY hold the operator's access key. It is not an
argument, since every user of the machine can read a process's arguments.
"""

import argparse
import os
from pathlib import Path

from tools.local.emulator.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.local.emulator", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the port on 127.0.0.1")
    parser.add_argument("--data-dir", type=Path, required=True, help="where its temporary files go")
    arguments = parser.parse_args()
    try:
        operator = os.environ.pop("OPERATOR_ACCESS_KEY_ID"), os.environ.pop("OPERATOR_SECRET_ACCESS_KEY")
    except KeyError as missing:
        parser.error(f"the variable {missing} must hold the operator's access key")
    serve(arguments.port, arguments.data_dir, operator)


if __name__ == "__main__":
    main()
