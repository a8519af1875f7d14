"""The command line: ``main`` runs it and turns every error into one sentence and an exit code.

Nothing is imported before it is needed: ``--help`` and ``serve`` must start at once.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

__all__ = ["main"]

_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130


def main() -> None:
    """Run the command line; exit code 0 done, 1 failed, 2 wrong usage, 130 Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # letters that the terminal lacks are no failure
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    from mainstem.cli.app import app
    from mainstem.errors import MainstemError

    try:
        code = app(arguments, prog_name="mainstem", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except MainstemError as error:
        return _say(str(error), _FAILED)
    except BrokenPipeError:
        return _hang_up()
    except SystemExit as stop:  # how the command parser ends when a pipe is closed
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        return _hang_up()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _say(f"{name}{error.strerror or error}", _FAILED)
    except Exception as error:
        return _usage(error)


def _hang_up() -> int:
    """The reader, as `| head`, has seen enough: that is no failure."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _usage(error: Exception) -> int:
    """Wrong arguments, as the command parser found them; anything else is a bug and shows."""
    if type(error).__name__ == "Abort":
        return _INTERRUPTED
    message = getattr(error, "format_message", None)
    if message is None:
        raise error
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    text = message().rstrip(".")
    if type(error).__name__ == "NoArgsIsHelpError":  # the help itself is the message
        print(message())
        return _USAGE
    return _say(text[:1].lower() + text[1:] + hint, int(getattr(error, "exit_code", _USAGE)))


def _say(sentence: str, code: int) -> int:
    print(f"mainstem: {sentence}", file=sys.stderr)
    return code
