"""The table of related general SOP classes against the pairs of PS3.4 Table B.3-3."""

from dicom_proto.upper_layer.related_general import RELATED_GENERAL_SOP_CLASSES

STORAGE = "1.2.840.10008.5.1.4.1.1."  # what all their UIDs begin with
PAIRS = """
9.1.1 9.1.2
1.2 1.1
1.2.1 1.1.1
1.3 1.1
1.3.1 1.1.1
88.11 88.22
88.11 88.33
88.11 88.34
88.11 88.35
88.22 88.33
88.22 88.34
88.22 88.35
88.33 88.34
88.33 88.35
88.34 88.35
88.40 88.22
88.40 88.33
88.40 88.34
88.40 88.35
88.72 88.22
88.72 88.33
88.72 88.34
88.72 88.35
88.67 88.22
88.67 88.33
88.67 88.34
88.67 88.35
88.68 88.22
88.68 88.33
88.68 88.34
88.68 88.35
88.73 88.22
88.73 88.33
88.73 88.34
88.73 88.35
88.71 88.22
88.71 88.33
88.71 88.34
88.71 88.35
78.6 88.22
79.1 88.22
2.1 2.2
4.1 4.4
130 128.1
"""


def test_every_pair_is_there_and_no_other() -> None:
    expected = [(STORAGE + uid, STORAGE + general) for uid, general in map(str.split, PAIRS.strip().splitlines())]
    pairs = [(uid, general) for uid, related in RELATED_GENERAL_SOP_CLASSES.items() for general in related]
    assert len(pairs) == 44
    assert sorted(pairs) == sorted(expected)
