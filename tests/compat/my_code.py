"""What the example programs of pynetdicom's documentation leave to their reader; laid beside them when they run."""

import os
from typing import Any

from pydicom.dataset import Dataset


def create_attribute_list(_tags: Any) -> Dataset:
    """Return the attributes of a display system."""
    attributes = Dataset()
    attributes.Manufacturer = "Nobody"
    return attributes


def some_user_function(event: Any) -> tuple[bool, bytes | None]:
    """Tell whether a user is welcome."""
    return event.primary_field == b"username", None


def get_known_aet() -> dict[str, tuple[str, int]]:
    """Return where a retrieval may send to."""
    return {"STORE_SCP": ("127.0.0.1", int(os.environ["STORE_SCP_PORT"]))}


def create_template(found: Dataset, _asked: Dataset) -> Dataset:
    """Return the answer to a relevant patient query."""
    answer = Dataset()
    answer.PatientID = found.PatientID
    return answer
