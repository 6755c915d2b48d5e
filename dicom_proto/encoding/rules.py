"""What becomes of what cannot be sent as it is: settings of whoever sends data sets.

May change.
"""

from typing import Literal

from attrs import field, frozen
from attrs.validators import in_, instance_of

__all__ = ["DEFAULT_RULES", "EncodingRules"]


@frozen(kw_only=True)
class EncodingRules:
    """How data sets are encoded where the standard leaves a choice.

    Parameters
    ----------
    state_utf_8 : bool
        What becomes of text that the data set's Specific Character Set does not have (PS3.3 C.12.1.1.2). By default it
        is refused: what is written instead would be another text, and question marks are wild cards in a query. With
        True the data set is sent in Unicode, and says so: ISO_IR 192.
    long_values : {"un", "refuse"}
        What becomes of a value of more than 65534 bytes whose VR has no room for its length in explicit VR, where there
        is no context for implicit VR: it is sent as UN (PS3.5 6.2.2), with a warning in the log, because not everybody
        reads that; or it is refused.
    """

    state_utf_8: bool = field(default=False, validator=instance_of(bool))
    long_values: Literal["un", "refuse"] = field(default="un", validator=in_(("un", "refuse")))


DEFAULT_RULES = EncodingRules()
