"""SCU made with Odil: run by the system's Python as ``odil_scu.py SCENARIO HOST PORT``; prints what it is told."""

import sys
from collections.abc import Callable

import odil

Context = odil.AssociationParameters.PresentationContext
SYNTAXES = [odil.registry.ImplicitVRLittleEndian, odil.registry.ExplicitVRLittleEndian]
STEP = odil.registry.ModalityPerformedProcedureStep
WORKLIST = odil.registry.ModalityWorklistInformationModelFind
MOVE = odil.registry.StudyRootQueryRetrieveInformationModelMove
INSTANCE = "1.2.3.4"


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201  the test reads it


def data_set(**elements: str) -> odil.DataSet:
    made = odil.DataSet()
    for keyword, value in elements.items():
        made.add(keyword, [value])
    return made


def worklist(association: odil.Association) -> None:
    scu = odil.FindSCU(association)
    scu.set_affected_sop_class(WORKLIST)
    for found in scu.find(data_set(PatientID="7")):
        say("found", found.as_string("PatientID")[0].decode())


def move(association: odil.Association) -> None:
    """Odil receives nothing itself: the objects go elsewhere."""
    scu = odil.MoveSCU(association)
    scu.set_affected_sop_class(MOVE)
    scu.set_move_destination("STORESCP")
    scu.move(
        data_set(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3"),
        lambda _: None,
        lambda response: say("moved", response.get_status(), response.get_number_of_completed_sub_operations()),
    )


def step(association: odil.Association) -> None:
    """Odil has no SCU for N-CREATE, yet the messages."""
    create = odil.messages.NCreateRequest(1, STEP, data_set(PatientID="7"))
    create.set_affected_sop_instance_uid(INSTANCE)
    change = odil.messages.NSetRequest(2, STEP, INSTANCE, data_set(PatientID="8"))
    for request in create, change:
        association.send_message(request, STEP)
        say("status", odil.messages.Response(association.receive_message()).get_status())


SCENARIOS: dict[str, tuple[str, Callable[[odil.Association], None]]] = {
    "worklist": (WORKLIST, worklist),
    "move": (MOVE, move),
    "step": (STEP, step),
}


def main(scenario: str, host: str, port: int) -> None:
    sop_class, run = SCENARIOS[scenario]
    association = odil.Association()
    association.set_peer_host(host)
    association.set_peer_port(port)
    parameters = association.update_parameters().set_calling_ae_title("ODIL").set_called_ae_title("SCP")
    parameters.set_presentation_contexts([Context(1, sop_class, SYNTAXES, Context.Role.SCU)])
    parameters.set_user_identity_to_username("me")
    association.associate()
    run(association)
    association.release()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
