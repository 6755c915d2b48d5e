"""Text to bytes and back, by Specific Character Set (0008,0005): no character is lost (PS3.3 C.12.1.1.2, PS3.5 6.1).

May change.

What pydicom cannot express it writes as question marks, which are wild cards in a query; here it is an error. Bytes
that a set does not have are told from those that it has.
"""

import re
from codecs import lookup
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Self

from attrs import field, frozen

__all__ = ["DEFAULT", "UTF_8", "CharacterSets", "UnexpressibleError"]


class UnexpressibleError(Exception):
    """There are characters, or bytes, that a character set does not have; nobody says which."""


@frozen
class _Set:
    """One character set.

    Parameters
    ----------
    codec : str
        What Python calls it.
    escape : bytes
        What designates it where there are several (PS3.3 Tables C.12-3, C.12-4).
    is_double : bool
        Whether it takes the place of ASCII (G0, two bytes for a character), instead of standing beside it.
    """

    codec: str
    escape: bytes = b""
    is_double: bool = False

    def encode(self, character: str) -> bytes | None:
        """Return one character that is not ASCII, without an escape sequence; ``None`` if the set does not have it."""
        try:
            raw = character.encode(self.codec)
        except UnicodeEncodeError:
            return None
        if self.is_double:
            raw = raw.removeprefix(self.escape).removesuffix(b"\x1b(B")
            return None if b"\x1b" in raw or len(raw) != 2 else raw
        single = self.codec == "shift_jis"  # of which ISO IR 13 is the part that has one byte
        return None if raw[0] < 0x80 or (single and len(raw) > 1) else raw


_ASCII: Final = _Set("ascii", b"\x1b(B")
_ROMAJI: Final = b"\x1b(J"
_JIS_X_0201: Final = _Set("shift_jis", b"\x1b)I")
_SETS: Final = {
    "6": _ASCII,
    "13": _JIS_X_0201,
    **{
        number: _Set(codec, b"\x1b-" + final)
        for number, codec, final in (
            ("100", "iso8859_1", b"A"),
            ("101", "iso8859_2", b"B"),
            ("109", "iso8859_3", b"C"),
            ("110", "iso8859_4", b"D"),
            ("126", "iso8859_7", b"F"),
            ("127", "iso8859_6", b"G"),
            ("138", "iso8859_8", b"H"),
            ("144", "iso8859_5", b"L"),
            ("148", "iso8859_9", b"M"),
            ("166", "tis_620", b"T"),
            ("203", "iso8859_15", b"b"),
        )
    },
}
_EXTENSIONS: Final = {  # only with code extensions
    "58": _Set("gb2312", b"\x1b$)A"),
    "87": _Set("iso2022_jp", b"\x1b$B", is_double=True),
    "149": _Set("euc_kr", b"\x1b$)C"),
    "159": _Set("iso2022_jp_2", b"\x1b$(D", is_double=True),
}
_ALONE: Final = {"ISO_IR 192": _Set("utf_8"), "GB18030": _Set("gb18030"), "GBK": _Set("gbk")}
_BY_ESCAPE: Final = {one.escape: one for one in (*_SETS.values(), *_EXTENSIONS.values(), _Set("shift_jis", _ROMAJI))}
_FORM: Final = re.compile(r"ISO([ _])(?:2022[ _-])?IR[ _-](\d+)")  # as written, and as often miswritten
_DELIMITERS: Final = re.compile("([\t\n\f\r\\\\])")
_NAME_DELIMITERS: Final = re.compile("([\t\n\f\r\\\\^=])")  # of VR PN (PS3.5 6.2.1.2)


@frozen
class CharacterSets:
    """The values of Specific Character Set, and what they mean.

    Parameters
    ----------
    terms : tuple of str
        The values, as they are stated.

    Attributes
    ----------
    is_known : bool
        Whether all of them are defined; others count as the default repertoire.
    """

    terms: tuple[str, ...] = ()
    is_known: bool = field(init=False, eq=False)
    _sets: tuple[_Set, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        sets = [_set_of(term) for term in self.terms] or [_ASCII]
        object.__setattr__(self, "is_known", None not in sets)
        known = [one or _ASCII for one in sets]
        alone = known[0].codec in _ALONE_CODECS  # further values mean nothing (PS3.3 C.12.1.1.2)
        others = [] if alone else [one for one in known[1:] if one.codec not in _ALONE_CODECS]
        object.__setattr__(self, "_sets", (known[0], *dict.fromkeys(others)))

    @classmethod
    def of(cls, value: object) -> "CharacterSets":
        """Return those of a value of the element: a string, several, or nothing."""
        if value is None or isinstance(value, str):
            return _parse(value or "")
        return _parse("\\".join(map(str, value)) if isinstance(value, Iterable) else str(value))

    @classmethod
    def of_codecs(cls, names: Iterable[str]) -> "CharacterSets":
        """Return those that pydicom calls by what Python calls them."""
        return _parse("\\".join(map(_term_of, names)))

    @property
    def codecs(self) -> list[str]:
        """What Python calls them, as pydicom wants it."""
        return ["iso8859" if one is _ASCII else one.codec for one in self._sets]

    def means_the_same(self, other: Self) -> bool:
        """Tell whether bytes in one are the same text in the other."""
        return self._sets == other._sets

    def encode(self, text: str, *, is_name: bool = False) -> bytes:
        """Encode text; that of a person's name has further delimiters, at which everything is designated anew.

        Raises
        ------
        UnexpressibleError
            If the sets do not have all of it.
        """
        if text.isascii():
            return text.encode("ascii")
        first = self._sets[0]
        if len(self._sets) == 1 and not first.is_double:
            return _encode_whole(text, first)
        parts = (_NAME_DELIMITERS if is_name else _DELIMITERS).split(text)
        return b"".join(map(self._encode_part, parts))

    def _encode_part(self, text: str) -> bytes:
        """Encode text between delimiters, with code extensions (PS3.5 6.1.2.5)."""
        out = bytearray()
        first = self._sets[0]
        home = _ROMAJI if first is _JIS_X_0201 else _ASCII.escape  # what is designated at the beginning (PS3.5 H.3.2)
        beside, instead = first, _ASCII  # G1 and G0
        for character in text:
            if character.isascii():
                wanted, raw = _ASCII, character.encode("ascii")
            else:
                wanted, raw = self._find(character, beside, instead)
            if (wanted.is_double or wanted is _ASCII) and wanted is not instead:
                out += home if wanted is _ASCII else wanted.escape
                instead = wanted
            elif not wanted.is_double and wanted is not _ASCII:
                if instead is not _ASCII:  # who decodes run by run takes its bytes for those of the set in G0
                    out += home
                    beside, instead = first, _ASCII
                if wanted is not beside:
                    out += wanted.escape
                    beside = wanted
            out += raw
        return bytes(out if instead is _ASCII else out + home)

    def _find(self, character: str, *designated: _Set) -> tuple[_Set, bytes]:
        """Return a set that has a character, if possible one that need not be designated, and its bytes."""
        for one in (*designated, *self._sets):
            raw = one.encode(character)
            if raw is not None:
                return one, raw
        raise UnexpressibleError

    def decode(self, raw: bytes, *, is_name: bool = False) -> tuple[str, bool]:
        """Decode bytes; tell whether the sets have all of them. What they do not have is replaced."""
        if raw.isascii() and b"\x1b" not in raw:
            return raw.decode("ascii"), True
        first = self._sets[0]
        if first is _ASCII and b"\x1b" not in raw:
            return raw.decode("latin-1"), False
        if b"\x1b" not in raw:
            return _decode_in(raw, first)
        delimiters = _NAME_DELIMITERS if is_name else _DELIMITERS
        texts, is_sound, beside = [], True, first
        for part in re.findall(rb"^[^\x1b]+|\x1b[^\x1b]*", raw):
            text, sound, beside = self._decode_part(part, delimiters, beside)
            texts.append(text)
            is_sound = is_sound and sound
        return "".join(texts), is_sound

    def _decode_part(self, part: bytes, delimiters: re.Pattern[str], beside: _Set) -> tuple[str, bool, _Set]:
        """Decode what stands between two escape sequences, the first included; return also what is left in G1."""
        escape = next((one for one in (part[:3], part[:4]) if one in _BY_ESCAPE), b"")
        found = _BY_ESCAPE.get(escape)
        if found is not None and found.is_double:
            return *_decode_double(part, found, beside), beside
        if found is None and part[:1] == b"\x1b":
            return part.decode("latin-1"), False, beside
        if found is not None and found is not _ASCII and escape != _ROMAJI:
            beside = found
        first, rest = self._sets[0], part[len(escape) :]
        end = re.search(rb"[\t\n\f\r\\^=]" if delimiters is _NAME_DELIMITERS else rb"[\t\n\f\r\\]", rest)
        if end is None:
            return *_decode_in(rest, beside), beside
        (text, sound), (more, more_sound) = (
            _decode_in(rest[: end.start()], beside),
            _decode_in(rest[end.start() :], first),
        )
        return text + more, sound and more_sound, first


_ALONE_CODECS: Final = frozenset(one.codec for one in _ALONE.values())


def _set_of(term: str) -> _Set | None:
    """Return the set that a value stands for; ``None`` if there is none."""
    if not term:
        return _ASCII
    if term in _ALONE:
        return _ALONE[term]
    found = _FORM.fullmatch(term)
    if found is None:
        return None
    if found[2] == "192":
        return _ALONE["ISO_IR 192"]
    return _SETS.get(found[2]) or _EXTENSIONS.get(found[2])


@lru_cache(maxsize=64)
def _term_of(codec: str) -> str:
    """Return a term for what pydicom calls by a codec; its word for the default repertoire is one for Latin 1."""
    if codec == "iso8859":
        return ""
    try:
        name = lookup(codec).name
    except LookupError:
        return codec
    return _TERMS.get(name, codec)


@lru_cache(maxsize=256)
def _parse(value: str) -> CharacterSets:
    terms = tuple(term.strip(" \0") for term in value.split("\\"))
    return CharacterSets(terms if any(terms) else ())


def _encode_whole(text: str, only: _Set) -> bytes:
    try:
        raw = text.encode(only.codec)
    except UnicodeEncodeError:
        raise UnexpressibleError from None
    if only.codec == "shift_jis" and len(raw) != len(text):
        raise UnexpressibleError
    if raw.decode(only.codec) != text:  # a yen sign is a backslash there
        raise UnexpressibleError
    return raw


def _decode_in(raw: bytes, one: _Set) -> tuple[str, bool]:
    try:
        return raw.decode(one.codec), True
    except UnicodeDecodeError:
        if one is _ASCII:
            return raw.decode("latin-1"), False
        return raw.decode(one.codec, "replace"), False


def _decode_double(part: bytes, one: _Set, beside: _Set) -> tuple[str, bool]:
    """Decode bytes of a set in G0, behind its escape sequence, and of the one in G1, which has the eighth bit set."""
    escape, rest = one.escape, part[len(one.escape) :]
    runs = re.findall(rb"[\x00-\x7f]+|[\x80-\xff]+", rest)
    found = [_decode_in(run, beside) if run[0] > 0x7F else _decode_in(escape + run, one) for run in runs]
    return "".join(text for text, _ in found), all(sound for _, sound in found)


_TERMS: Final = {lookup(one.codec).name: f"ISO 2022 IR {number}" for number, one in (_SETS | _EXTENSIONS).items()} | {
    lookup(one.codec).name: term for term, one in _ALONE.items()
}
DEFAULT: Final = CharacterSets()
UTF_8: Final = CharacterSets(("ISO_IR 192",))
