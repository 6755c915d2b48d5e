"""Text to bytes and back, against pydicom's reading and the examples of PS3.5 Annexes H to K."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings
from pydicom.valuerep import PersonName

from dicom_proto.encoding.character_sets import DEFAULT, UTF_8, CharacterSets, UnexpressibleError
from tests.proto.rows import for_each

NAMES = [
    ("ISO_IR 100", "Buc^Jérôme", b"Buc^J\xe9r\xf4me"),
    ("ISO_IR 144", "ЖЮЛЬ", b"\xb6\xce\xbb\xcc"),
    ("ISO_IR 192", "Wang^XiaoDong=王^小东=", "Wang^XiaoDong=王^小东=".encode()),
    ("GB18030", "Wang^XiaoDong=王^小东=", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab="),
    ("GBK", "王", b"\xcd\xf5"),
    ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3"),
    ("ISO_IR 166", "สม", b"\xca\xc1"),
    (
        "\\ISO 2022 IR 87",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    ),
    (
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
    ),
    (
        "\\ISO 2022 IR 149",
        "Hong^Gildong=洪^吉洞=홍^길동",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
    ),
    ("ISO 2022 IR 100\\ISO 2022 IR 126", "Müller Ωμ é", b"M\xfcller \x1b-F\xd9\xec \x1b-A\xe9"),
    ("\\ISO 2022 IR 87\\ISO 2022 IR 159", "あ齡A丂B", b'\x1b$B$"st\x1b(BA\x1b$(D0!\x1b(BB'),
]


@for_each(("stated", "text", "raw"), NAMES)
def test_names_are_written_as_the_standard_has_them(stated: str, text: str, raw: bytes) -> None:
    """PS3.5 H.3, I.2, J.1, K.2 and others; pydicom reads what is written."""
    sets = CharacterSets.of(stated)
    assert sets.is_known
    assert sets.encode(text, is_name=True) == raw
    assert sets.decode(raw, is_name=True) == (text, True)
    assert PersonName(raw, convert_encodings(stated.split("\\"))) == text.rstrip("=")
    assert CharacterSets.of_codecs(convert_encodings(stated.split("\\"))).means_the_same(sets)
    assert CharacterSets.of_codecs(sets.codecs).means_the_same(sets)


def test_chinese_with_code_extensions() -> None:
    """PS3.5 K.2, which pydicom cannot read: it takes the escape sequence for text."""
    sets = CharacterSets.of(["", "ISO 2022 IR 58"])
    raw = sets.encode("Zhang^XiaoDong=张^小东=", is_name=True)
    assert raw == b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="
    assert sets.decode(raw, is_name=True) == ("Zhang^XiaoDong=张^小东=", True)


@for_each(
    ("stated", "text"),
    [
        ("", "Müller"),
        ("ISO_IR 6", "Müller"),
        ("ISO_IR 100", "Тест"),
        ("ISO_IR 13", "山"),
        ("ISO_IR 13", "¥"),  # the byte of a backslash, which parts values
        ("\\ISO 2022 IR 87", "é"),
        ("\\ISO 2022 IR 87", "山é"),
        ("ISO 2022 IR 13\\ISO 2022 IR 87", "é"),
        ("ISO_IR 166", "é"),
        ("GBK", "\U0001f600"),
        ("NONSENSE", "é"),
        ("ISO_IR 999", "é"),
    ],
)
def test_what_a_set_does_not_have_is_refused(stated: str, text: str) -> None:
    """A question mark would be a wild card in a query (PS3.4 C.2.2.2.4); go-netdicom#10 and others."""
    with pytest.raises(UnexpressibleError):
        CharacterSets.of(stated).encode(text)


@for_each(
    ("stated", "terms", "is_known"),
    [
        (None, (), True),
        ("", (), True),
        ("\\", (), True),
        ("ISO_IR 100 ", ("ISO_IR 100",), True),
        ("ISO 2022 IR 6\\ISO 2022 IR 87", ("ISO 2022 IR 6", "ISO 2022 IR 87"), True),
        (["", "ISO 2022 IR 87"], ("", "ISO 2022 IR 87"), True),
        ("ISO-IR 100", ("ISO-IR 100",), False),
        ("ISO IR 100", ("ISO IR 100",), True),  # often miswritten
        ("ISO_IR 192\\ISO 2022 IR 100", ("ISO_IR 192", "ISO 2022 IR 100"), True),
        ("ISO 2022 IR 192", ("ISO 2022 IR 192",), True),
        (5, ("5",), False),
    ],
)
def test_what_is_stated(stated: object, terms: tuple[str, ...], is_known: bool) -> None:
    sets = CharacterSets.of(stated)
    assert (sets.terms, sets.is_known) == (terms, is_known)


def test_which_mean_the_same() -> None:
    assert CharacterSets.of("ISO_IR 6").means_the_same(DEFAULT)
    assert CharacterSets.of("ISO_IR 100").means_the_same(CharacterSets.of("ISO 2022 IR 100"))
    assert CharacterSets.of("ISO_IR 192\\ISO 2022 IR 100").means_the_same(UTF_8)
    assert CharacterSets.of("ISO_IR 100\\ISO_IR 192").means_the_same(CharacterSets.of("ISO_IR 100"))
    assert not UTF_8.means_the_same(DEFAULT)
    assert CharacterSets.of_codecs(["iso8859"]).means_the_same(DEFAULT)
    assert CharacterSets.of_codecs(["latin_1"]).means_the_same(CharacterSets.of("ISO_IR 100"))
    assert not CharacterSets.of_codecs(["no codec"]).is_known


@for_each(
    ("stated", "raw", "text"),
    [
        ("", b"M\xfcller", "Müller"),
        ("ISO_IR 192", b"M\xfcller", "M�ller"),
        ("", b"a\x1b-Ab", "ab"),
        ("", b"a\x1b%Gb", "a\x1b%Gb"),
        ("", b"\xe9\x1b-A\xe9\r\xe9", "éé\ré"),
        ("\\ISO 2022 IR 87", b"\x1b$B\xff\xff\x1b(B", "ÿÿ"),
        ("ISO 2022 IR 13", b"\xd4\x1b(J\xcf", "ﾔﾏ"),
        ("\\ISO 2022 IR 149", b"\x1b$)C\xfb\xf3^x", "洪^x"),
    ],
)
def test_bytes_that_a_set_does_not_have_are_told(stated: str, raw: bytes, text: str) -> None:
    found, is_sound = CharacterSets.of(stated).decode(raw)
    assert found == text
    assert is_sound is (stated in {"ISO 2022 IR 13", "\\ISO 2022 IR 149"} or raw == b"a\x1b-Ab")


@for_each(
    ("stated", "raw", "text"),
    [
        ("ISO 2022 IR 13\\ISO 2022 IR 87", b"\x1b$B&8\xd4", "Ωﾔ"),
        ("\\ISO 2022 IR 144\\ISO 2022 IR 87", b"\x1b-L\xd6\x1b$B&8\xd6;3\x1b(B\xd6", "жΩж山ж"),
        ("ISO 2022 IR 100\\ISO 2022 IR 144", b"\x1b-L\xd6\x1b(Ba\xd6\\\xe9", "жaж\\é"),
    ],
)
def test_what_stands_in_g1_stays_there_until_a_delimiter(stated: str, raw: bytes, text: str) -> None:
    """An escape sequence for G0 leaves G1 as it is (PS3.5 6.1.2.5.3)."""
    assert CharacterSets.of(stated).decode(raw) == (text, True)


@for_each(
    ("stated", "text"),
    [
        ("ISO 2022 IR 13\\ISO 2022 IR 87", "Ωﾔ"),
        ("\\ISO 2022 IR 144\\ISO 2022 IR 87", "жΩжaж"),
    ],
)
def test_g1_is_not_used_beside_two_bytes_in_g0(stated: str, text: str) -> None:
    raw = CharacterSets.of(stated).encode(text)
    assert all(run.isascii() for run in raw.split(b"\x1b") if run.startswith(b"$B"))
    assert CharacterSets.of(stated).decode(raw) == (text, True)


STATED = st.sampled_from(
    [stated for stated, _, _ in NAMES] + ["", "\\ISO 2022 IR 144\\ISO 2022 IR 87", "ISO 2022 IR 100\\ISO 2022 IR 144"]
)


@given(stated=STATED, text=st.text("aé山ﾔ洪Ωж^=\\\n €", max_size=12), is_name=st.booleans())
def test_no_character_is_lost(stated: str, text: str, is_name: bool) -> None:
    sets = CharacterSets.of(stated)
    try:
        raw = sets.encode(text, is_name=is_name)
    except UnexpressibleError:
        return
    assert sets.decode(raw, is_name=is_name) == (text, True)
