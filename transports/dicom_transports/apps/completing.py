"""Shell completion, made from the parsers of the commands: for bash, zsh and fish."""

import argparse
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Final

__all__ = ["SHELLS", "script"]

_PROGRAM: Final = "dicom-proto"
_FILES: Final = frozenset({"FILE", "DIRECTORY", "PATH", "KEY"})  # what values of options are called that are files

Parsers = Mapping[str, argparse.ArgumentParser]


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    every = parser._actions  # noqa: SLF001 - argparse has no other way to tell
    return [action for action in every if action.help is not argparse.SUPPRESS]


def _options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in _actions(parser) if action.option_strings]


def _names(parser: argparse.ArgumentParser) -> list[str]:
    return [name for action in _options(parser) for name in action.option_strings]


def _choices(parser: argparse.ArgumentParser) -> list[str]:
    """Return what arguments that are no options may be."""
    positional = [action for action in _actions(parser) if not action.option_strings]
    return [str(choice) for action in positional for choice in action.choices or ()]


def _takes_value(action: argparse.Action) -> bool:
    return action.nargs != 0


def _metavar(action: argparse.Action) -> str:
    return action.metavar[0] if isinstance(action.metavar, tuple) else str(action.metavar or action.dest)


def _is_file(action: argparse.Action) -> bool:
    return _metavar(action) in _FILES


def _help(action: argparse.Action) -> str:
    return (action.help or "").partition(" (default")[0].partition(":")[0].replace("%%", "%")


def _words(values: Iterable[object]) -> str:
    return " ".join(shlex.quote(str(value)) for value in values)


def _bash(parsers: Parsers) -> str:
    cases = []
    for name, parser in parsers.items():
        values = [
            f"            {'|'.join(action.option_strings)}) {_bash_values(action)} ;;"
            for action in _options(parser)
            if _takes_value(action)
        ]
        options = " ".join(_names(parser))
        cases.append(
            "\n".join(
                [
                    f"    {name})",
                    '        case "$previous" in',
                    *values,
                    f'            *) _dicom_proto_words "$current" "{options}" "{_words(_choices(parser))}" ;;',
                    "        esac ;;",
                ]
            )
        )
    return _BASH.format(commands=" ".join(parsers), cases="\n".join(cases))


def _bash_values(action: argparse.Action) -> str:
    if action.choices:
        return f'COMPREPLY=($(compgen -W "{_words(action.choices)}" -- "$current"))'
    return 'COMPREPLY=($(compgen -f -- "$current"))' if _is_file(action) else "COMPREPLY=()"


_BASH: Final = """\
# bash completion of dicom-proto: source this, or put it into ~/.local/share/bash-completion/completions/dicom-proto
_dicom_proto_words() {{
    case "$1" in
        -*|+*) COMPREPLY=($(compgen -W "$2" -- "$1")) ;;
        *) COMPREPLY=($(compgen -f -W "$3" -- "$1")) ;;
    esac
}}
_dicom_proto() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}"
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands} --help --version" -- "$current"))
        return
    fi
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
}}
complete -o filenames -F _dicom_proto dicom-proto
"""


def _zsh(parsers: Parsers) -> str:
    cases = []
    for name, parser in parsers.items():
        specs = [_zsh_option(action, option) for action in _options(parser) for option in action.option_strings]
        specs += [_zsh_positional(action) for action in _actions(parser) if not action.option_strings]
        lines = " \\\n                ".join(specs)
        cases.append(f"            {name})\n            _arguments \\\n                {lines} ;;")
    summaries = [f"{name}:{_zsh_text(parser.description or '')}" for name, parser in parsers.items()]
    return _ZSH.format(commands=_words(summaries), cases="\n".join(cases))


def _zsh_text(text: str) -> str:
    line = text.partition("\n")[0]
    return "".join(f"\\{character}" if character in "[]:\\" else character for character in line)


def _zsh_values(action: argparse.Action) -> str:
    if action.choices:
        return f"({' '.join(map(str, action.choices))})"
    return "_files" if _is_file(action) else " "


def _zsh_option(action: argparse.Action, option: str) -> str:
    values = f":{_zsh_text(_metavar(action))}:{_zsh_values(action)}" if _takes_value(action) else ""
    return shlex.quote(f"*{option}[{_zsh_text(_help(action))}]{values}")


def _zsh_positional(action: argparse.Action) -> str:
    many = "*" if action.nargs in {"*", "+"} else ""
    return shlex.quote(f"{many}:{_zsh_text(_metavar(action))}:{_zsh_values(action)}")


_ZSH: Final = """\
#compdef dicom-proto
# zsh completion of dicom-proto: put this into a directory of $fpath, as _dicom-proto
local -a commands
commands=({commands})
_arguments -C '1:command:->command' '*::argument:->arguments'
case $state in
    command) _describe command commands ;;
    arguments)
        case $words[1] in
{cases}
        esac ;;
esac
"""


def _fish(parsers: Parsers) -> str:
    lines = [
        "# fish completion of dicom-proto: put this into ~/.config/fish/completions/dicom-proto.fish",
        f"complete -c {_PROGRAM} -n __fish_use_subcommand -f",
    ]
    for name, parser in parsers.items():
        summary = (parser.description or "").partition("\n")[0]
        lines.append(f"complete -c {_PROGRAM} -n __fish_use_subcommand -a {name} -d {_fish_text(summary)}")
    for name, parser in parsers.items():
        head = f"complete -c {_PROGRAM} -n '__fish_seen_subcommand_from {name}'"
        lines += [f"{head} {_fish_option(action, one)}" for action in _options(parser) for one in action.option_strings]
        choices = [
            choice for action in _actions(parser) if not action.option_strings for choice in action.choices or ()
        ]
        if choices:
            lines.append(f"{head} -a {_fish_text(' '.join(choices))}")
    return "\n".join(lines) + "\n"


def _fish_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _fish_option(action: argparse.Action, option: str) -> str:
    told = f"-d {_fish_text(_help(action))}"
    if option.startswith("+"):
        return f"-a {_fish_text(option)} {told}"  # fish knows no options with a plus sign
    kind = "-l" if option.startswith("--") else "-s" if len(option) == 2 else "-o"
    parts = [f"{kind} {option.lstrip('-')}", told]
    if _takes_value(action):
        parts.append("-r" if _is_file(action) else "-x")
    if action.choices:
        parts.append(f"-a {_fish_text(' '.join(map(str, action.choices)))}")
    return " ".join(parts)


SHELLS: Final[Mapping[str, Callable[[Parsers], str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
"""The shells, each with what makes a script of the parsers of all commands."""


def script(shell: str, parsers: Parsers) -> str:
    """Return the completion script for a shell; ``parsers`` has that of each command."""
    return SHELLS[shell](parsers)
