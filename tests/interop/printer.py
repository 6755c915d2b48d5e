"""A print management SCP made of the adapter's AE, and what an SCU of it sends."""

from functools import partial
from typing import Any, Final

from attrs import Factory, define
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicom_proto.sop_class import (
    BasicFilmBox,
    BasicFilmSession,
    BasicGrayscaleImageBox,
    BasicGrayscalePrintManagementMeta,
    Printer,
    PrinterInstance,
    Verification,
)
from dicom_transports.blocking import AssociationServer, evt
from tests.contract.adapters import make_ae

HOST: Final = "127.0.0.1"
META: Final = BasicGrayscalePrintManagementMeta
PIXELS: Final = bytes(range(64))
Answer = tuple[int, Dataset | None]


def reference(sop_class: str, instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = instance
    return item


def small_image() -> Dataset:
    image = Dataset()
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows = image.Columns = 8
    image.PixelAspectRatio = [1, 1]
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.PixelRepresentation = 0
    image.PixelData = PIXELS
    return image


@define
class PrintSCP:
    """One film after the other; a film is printed by keeping its images."""

    seen: list[tuple[str, str]] = Factory(list)  # service and SOP class
    images: dict[str, Dataset] = Factory(dict)  # by image box
    printed: list[Dataset] = Factory(list)

    @property
    def handlers(self) -> list[tuple[str, Any]]:
        """What is bound to which event, of our library or of pynetdicom."""
        services = {
            "EVT_N_GET": self.get,
            "EVT_N_CREATE": self.create,
            "EVT_N_SET": self.set,
            "EVT_N_ACTION": self.act,
            "EVT_N_DELETE": self.delete,
        }
        return [(name, partial(self.serve, service)) for name, service in services.items()]

    def start(self) -> AssociationServer:
        ae = make_ae("PRINTER")
        for uid in META, Verification:
            ae.add_supported_context(uid)
        handlers: list[Any] = [(getattr(evt, name), handler) for name, handler in self.handlers]
        return ae.start_server((HOST, 0), block=False, evt_handlers=handlers)

    def serve(self, service: Any, event: Any) -> Any:
        request = event.request
        sop_class = getattr(request, "RequestedSOPClassUID", None) or request.AffectedSOPClassUID
        self.seen.append((event.event.name.removeprefix("EVT_"), sop_class))
        return service(event)

    def get(self, event: Any) -> Answer:
        assert event.request.RequestedSOPInstanceUID == PrinterInstance
        printer = Dataset()
        printer.PrinterStatus = "NORMAL"
        printer.PrinterStatusInfo = "NORMAL"
        return 0x0000, printer

    def create(self, event: Any) -> Answer:
        request = event.request
        created = Dataset()
        created.update(event.attribute_list)
        if request.AffectedSOPInstanceUID is None:  # the SCU leaves it to us
            created.AffectedSOPInstanceUID = generate_uid()
        if request.AffectedSOPClassUID == BasicFilmBox:
            (session,) = event.attribute_list.ReferencedFilmSessionSequence
            assert session.ReferencedSOPClassUID == BasicFilmSession
            columns, rows = event.attribute_list.ImageDisplayFormat.removeprefix("STANDARD\\").split(",")
            self.images = {generate_uid(): Dataset() for _ in range(int(columns) * int(rows))}
            created.ReferencedImageBoxSequence = [reference(BasicGrayscaleImageBox, box) for box in self.images]
        return 0x0000, created

    def set(self, event: Any) -> Answer:
        request = event.request
        if request.RequestedSOPClassUID == BasicGrayscaleImageBox:
            (self.images[request.RequestedSOPInstanceUID],) = event.modification_list.BasicGrayscaleImageSequence
        return 0x0000, None

    def act(self, event: Any) -> Answer:
        assert event.action_type == 1
        self.printed += filter(None, self.images.values())
        return 0x0000, None

    def delete(self, event: Any) -> int:
        if event.request.RequestedSOPClassUID == BasicFilmBox:
            self.images.clear()
        return 0x0000


def print_one_film(association: Any) -> None:
    """Ask for everything that a film takes: N-GET, N-CREATE, N-SET, N-ACTION, N-DELETE."""
    more: dict[str, Any] = {"meta_uid": META}
    status, printer = association.send_n_get([(0x2110, 0x0010)], Printer, PrinterInstance, **more)
    assert (status.Status, printer.PrinterStatus) == (0x0000, "NORMAL")
    session = Dataset()
    session.NumberOfCopies = 1
    session_uid, box_uid = generate_uid(), generate_uid()
    status, _ = association.send_n_create(session, BasicFilmSession, session_uid, **more)
    assert status.Status == 0x0000
    box = Dataset()
    box.ImageDisplayFormat = r"STANDARD\1,1"
    box.ReferencedFilmSessionSequence = [reference(BasicFilmSession, session_uid)]
    status, made = association.send_n_create(box, BasicFilmBox, box_uid, **more)
    assert status.Status in {0x0000, 0x0107, 0x0116}
    image = Dataset()
    image.ImageBoxPosition = 1
    image.BasicGrayscaleImageSequence = [small_image()]
    uid = made.ReferencedImageBoxSequence[0].ReferencedSOPInstanceUID
    status, _ = association.send_n_set(image, BasicGrayscaleImageBox, uid, **more)
    assert status.Status == 0x0000
    status, _ = association.send_n_action(None, 1, BasicFilmBox, box_uid, **more)
    assert status.Status == 0x0000
    assert association.send_n_delete(BasicFilmBox, box_uid, **more).Status == 0x0000
    assert association.send_n_delete(BasicFilmSession, session_uid, **more).Status == 0x0000
