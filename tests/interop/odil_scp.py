"""SCP made with Odil: run by the system's Python as ``odil_scp.py PORT DIRECTORY [FILE DESTINATION_PORT]``.

It stores in a directory, finds two patients, and retrieves always the same file, to whatever destination.
"""

import itertools
import sys
from pathlib import Path
from typing import Any

import odil

Command = odil.messages.Message.Command
Context = odil.AssociationParameters.PresentationContext


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201  pytest shows what a peer says


def read(path: str) -> odil.DataSet:
    with odil.open(path, "rb") as file:
        _, data_set = odil.Reader.read_file(file)
    return data_set


def patient(identifier: str) -> odil.DataSet:
    found = odil.DataSet()
    found.add("PatientID", [identifier])
    return found


def generator(base: Any, items: list[odil.DataSet], destination: int = 0) -> object:
    """Results, as Odil's SCPs ask for them."""

    class Results(base):  # type: ignore[misc]  # which is any of three
        def initialize(self, _: object) -> None:
            self.items = list(items)

        def done(self) -> bool:
            return not self.items

        def next(self) -> None:
            self.items.pop(0)

        def get(self) -> odil.DataSet:
            return self.items[0]

        def count(self) -> int:
            return len(items)

        def get_association(self, request: odil.messages.CMoveRequest) -> odil.Association:
            sop_class = items[0].as_string("SOPClassUID")[0]
            offered = Context(1, sop_class, [odil.registry.ExplicitVRLittleEndian], Context.Role.SCU)
            association = odil.Association()
            association.set_peer_host("127.0.0.1")
            association.set_peer_port(destination)
            parameters = association.update_parameters()
            parameters.set_calling_ae_title("ODIL").set_called_ae_title(request.get_move_destination())
            parameters.set_presentation_contexts([offered])
            return association

    return Results()


def services(association: odil.Association, directory: Path, generators: dict[Any, Any]) -> dict[int, Any]:
    """What answers which request."""
    numbers = itertools.count(1)

    def store(request: odil.messages.CStoreRequest) -> int:
        odil.Writer.write_file(request.get_data_set(), str(directory / f"{next(numbers)}.dcm"))
        return 0

    def note(request: odil.messages.Message) -> int:
        say(Command(request.get_command_field()).name, request.get_data_set().as_string("PatientID")[0].decode())
        return 0

    callbacks = {
        Command.C_ECHO_RQ: (odil.EchoSCP, lambda _: 0),
        Command.C_STORE_RQ: (odil.StoreSCP, store),
        Command.N_CREATE_RQ: (odil.NCreateSCP, note),
        Command.N_SET_RQ: (odil.NSetSCP, note),
    }
    made = {}
    for command, (kind, callback) in callbacks.items():
        made[int(command)] = kind(association)
        made[int(command)].set_callback(callback)
    for command, (kind, results) in generators.items():
        made[int(command)] = kind(association)
        made[int(command)].set_generator(results)
    return made


def main(port: int, directory: Path, file: str = "", destination: str = "0") -> None:
    retrieved = [read(file)] if file else []
    patients = [patient("1"), patient("2")]
    generators = {  # kept here: Odil does not
        Command.C_FIND_RQ: (odil.FindSCP, generator(odil.FindSCP.DataSetGenerator, patients)),
        Command.C_GET_RQ: (odil.GetSCP, generator(odil.GetSCP.DataSetGenerator, retrieved)),
        Command.C_MOVE_RQ: (odil.MoveSCP, generator(odil.MoveSCP.DataSetGenerator, retrieved, int(destination))),
    }
    while True:
        association = odil.Association()
        served = services(association, directory, generators)
        try:
            association.receive_association("v4", port)
            while True:
                message = association.receive_message()
                served[int(message.get_command_field())](message)
        except odil.Exception as end:
            say(repr(end))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
