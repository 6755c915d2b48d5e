"""Echo and storage SCP made with Odil: run by the system's Python as ``odil_scp.py PORT DIRECTORY``."""

import itertools
import sys
from pathlib import Path

import odil


def main(port: int, directory: Path) -> None:
    numbers = itertools.count(1)

    def store(request: odil.messages.CStoreRequest) -> int:
        odil.Writer.write_file(request.get_data_set(), str(directory / f"{next(numbers)}.dcm"))
        return 0

    while True:
        association = odil.Association()
        dispatcher = odil.SCPDispatcher(association)
        echo_scp, store_scp = odil.EchoSCP(association), odil.StoreSCP(association)
        echo_scp.set_callback(lambda _: 0)
        store_scp.set_callback(store)
        dispatcher.set_echo_scp(echo_scp)
        dispatcher.set_store_scp(store_scp)
        try:
            association.receive_association("v4", port)
            while True:
                dispatcher.dispatch()
        except odil.Exception as end:
            print(repr(end), flush=True)  # noqa: T201  pytest shows what a peer says


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
