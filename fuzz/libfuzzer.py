"""Run atheris on one harness: ``python -m fuzz.libfuzzer NAME [argument of libFuzzer or corpus folder]...``.

libFuzzer ends the process that it runs in, so ``python -m fuzz`` gives it one for each harness.
"""

import sys
from random import Random

from fuzz import load

__all__ = ["main"]


def main(name: str, *arguments: str) -> None:
    """Fuzz a harness until libFuzzer has had enough; does not return."""
    try:
        import atheris  # noqa: PLC0415 - nothing else here needs it
    except ImportError as error:
        sys.exit(f"{error}: it comes with the extra 'fuzz' (make fuzz), for the Pythons and systems that it supports")
    with atheris.instrument_imports(include=["dicom_proto"]):
        harness = load(name)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        """Let the harness change an input that it understands; now and then libFuzzer, which understands nothing."""
        random = Random(seed)
        changed: bytes = data
        for _ in range(random.choice((1, 1, 2, 4))):
            changed = harness.mutate(changed, random) if random.randrange(4) else atheris.Mutate(changed, most)
        return changed[:most]

    atheris.Setup([name, *arguments], harness.check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
