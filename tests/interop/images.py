"""The files that are sent to and fro: from pydicom's bundled test data, each of another kind."""

from functools import cache
from pathlib import Path

from pydicom.data import get_testdata_file

from dicom_proto.encoding.datasets import file_preamble_and_meta
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.sop_class import CTImageStorage
from dicom_transports._files.reading import FileObject, read_object
from tests.interop.storage import data_set_of

CT = "CT_small.dcm"
PLAIN = {
    CT: "explicit VR, trailing padding",
    "examples_overlay.dcm": "an MR image, 320 KB",
    "rtplan.dcm": "implicit VR, sequences",
    "rtdose.dcm": "implicit VR, 15 frames",
    "rtstruct.dcm": "implicit VR, no preamble",
    "reportsi.dcm": "structured report",
    "test-SR.dcm": "structured report, deep",
    "liver_1frame.dcm": "segmentation",
    "waveform_ecg.dcm": "waveform, 290 KB",
    "ExplVR_BigEnd.dcm": "big endian",
    "image_dfl.dcm": "deflated, of odd length",
}
COMPRESSED = {  # and the option with which storescu proposes it
    "SC_rgb_jpeg_dcmtk.dcm": "-xy",  # JPEG baseline
    "JPEG-lossy.dcm": "-xx",  # JPEG extended
    "SC_rgb_jpeg_gdcm.dcm": "-xs",  # JPEG lossless
    "examples_ybr_color.dcm": "-xy",  # JPEG baseline, 30 frames
    "JPEGLSNearLossless_08.dcm": "-xu",  # JPEG-LS
    "GDCMJ2K_TextGBR.dcm": "-xv",  # JPEG 2000 lossless
    "693_J2KI.dcm": "-xw",  # JPEG 2000
    "MR_small_RLE.dcm": "-xr",  # RLE
}


def path_of(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


@cache
def image(name: str) -> FileObject:
    return read_object(path_of(name))


def images(*names: str) -> list[FileObject]:
    """Files by name; all of them if none is named."""
    found = [image(name) for name in names or (*PLAIN, *COMPRESSED)]
    assert len({stored.meta.sop_instance_uid for stored in found}) == len(found)
    return found


Stored = dict[str, tuple[str, str, bytes]]  # by SOP Instance UID: SOP class, transfer syntax, data set


def stored_in(directory: Path) -> Stored:
    """What the files of a directory hold, whatever they are called."""
    found = [read_object(path) for path in sorted(directory.rglob("*")) if path.is_file()]
    assert all(one.meta.stated for one in found)
    return {
        one.meta.sop_instance_uid: (one.meta.sop_class_uid, one.meta.transfer_syntax, bytes(one.data_set))
        for one in found
    }


def contents(objects: list[FileObject]) -> Stored:
    """What a directory holds when files have arrived as they were sent."""
    return {
        one.meta.sop_instance_uid: (one.meta.sop_class_uid, one.meta.transfer_syntax, data_set_of(one))
        for one in objects
    }


def large_image(path: Path, size: int) -> FileObject:
    """Write a CT image whose pixels are this many bytes."""
    uid = "1.2.826.0.1.3680043.9.9999.1"
    elements = [
        (0x0008, 0x0016, str(CTImageStorage).encode()),
        (0x0008, 0x0018, uid.encode()),
        (0x7FE0, 0x0010, bytes(size)),
    ]
    with path.open("wb") as file:
        file.write(file_preamble_and_meta(str(CTImageStorage), uid, IMPLICIT_VR_LITTLE_ENDIAN))
        for group, element, value in elements:
            padded = value + bytes(len(value) % 2)
            file.write(b"".join(n.to_bytes(2, "little") for n in (group, element)))
            file.write(len(padded).to_bytes(4, "little") + padded)
    return read_object(path)
