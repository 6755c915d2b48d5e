"""What the end of an association is put down to."""

import pytest

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.handlers import kinds as evt
from tests.proto.application.lives import Couple
from tests.proto.programs.script import CT


@pytest.mark.parametrize("many", [50, 51])
def test_an_offer_of_many_transfer_syntaxes_that_is_not_answered(many: int) -> None:
    """DCMTK 3.6.7 drops an association request with more than fifty transfer syntaxes in a context."""
    ae = ApplicationEntity("HERE")
    ae.most_transfer_syntaxes = many
    ae.add_requested_context(CT, [f"1.2.826.0.1.3680043.{number}" for number in range(1, many + 1)])
    couple = Couple(there=[(evt.EVT_REQUESTED, lambda event: event.assoc.cut())], offer=ae.offer("THERE"))
    couple.wait()
    assert ("51 transfer syntaxes" in str(couple.scu.failure)) == (many == 51)
