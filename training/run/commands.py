# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the commands of training have in common: a config with changes, and ends in one line."""

import os
import select
import signal
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from contextlib import contextmanager

from depthlm_ros.data.whole import NO_SPACE
from depthlm_ros.errors import DepthLMError, first_line

CHANGES = {
    "data": "folder of shards, instead of the config's",
    "base": "what to start from, instead of the config's",
    "out": "output folder, instead of the config's",
}
FULL_WORDS = ("No space left", "Disk quota", "File too large", "file write failed")


class Stopped(Exception):
    """The process ends on somebody's wish. code: its exit status."""

    def __init__(self, words: str, code: int):
        super().__init__(words)
        self.code = code


def parser_of(command: str, doc: str) -> ArgumentParser:
    """An empty parser of `python -m COMMAND`; doc: of its module, printed as it stands."""
    return ArgumentParser(
        prog=f"python -m {command}", description=doc, formatter_class=RawDescriptionHelpFormatter
    )


def add_config(parser: ArgumentParser, *names, also: str = "") -> None:
    """The argument `config` and an option for each of these entries of it. also: what else may be
    given in its place."""
    parser.add_argument("config", help=f"a YAML file such as training/configs/tiny.yaml{also}")
    for name in names:
        parser.add_argument(f"--{name}", help=CHANGES[name])


def changes(given, *names) -> dict:
    """Those of these options that were given, for read_config."""
    return {name: getattr(given, name) for name in names if getattr(given, name)}


@contextmanager
def errors_told(command: str):
    """Ends the process with one sentence instead of a traceback, where the fault is not ours:
    what the user gave, a full disk, a process that died, a signal."""
    before = signal.signal(signal.SIGTERM, _ended)
    try:
        yield
        sys.stdout.flush()  # here, where an end of whoever reads is no fault
    except KeyboardInterrupt:
        _end(command, "interrupted", 128 + signal.SIGINT)
    except Stopped as stopped:
        _end(command, str(stopped), stopped.code)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            raise SystemExit(128 + signal.SIGPIPE) from error  # ... | head
        text = sentence(error)
        if not text:
            raise
        raise SystemExit(f"{command}: {text}") from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _nobody_reads() -> bool:
    """Whether it is the standard output whose reader is gone; what is left then goes nowhere."""
    asked = select.poll()
    asked.register(sys.stdout.fileno(), 0)
    gone = any(event & select.POLLERR for _, event in asked.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return gone


def _ended(number, frame):
    raise Stopped("ended by SIGTERM", 128 + number)


def _end(command, words, code):
    if os.environ.get("RANK", "0") == "0":
        print(f"{command}: {words}", file=sys.stderr, flush=True)
    raise SystemExit(code)


def sentence(error: Exception) -> str:
    """What to say of an error; "" where only its traceback helps."""
    text = str(error)
    if isinstance(error, DepthLMError):
        if text.startswith("Caught ") and "Traceback" in text:  # in a process that reads data
            return text.strip().splitlines()[-1].partition(": ")[2]
        return text
    if getattr(error, "errno", 0) in NO_SPACE or any(word in text for word in FULL_WORDS):
        return (
            f"there is no space left on the disk ({first_line(error)}): make room and start it"
            " again; training.sft, dense and grpo go on from their newest complete checkpoint"
        )
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if "DataLoader worker" in text:
        return (
            f"a process that reads data died ({first_line(error)}): memory or /dev/shm may be"
            " short, try workers: 0; the run goes on from its newest complete checkpoint"
        )
    if type(error).__name__ == "OutOfMemoryError":
        return f"{first_line(error)} Lower micro_batch, or try activation_checkpointing: true"
    return ""
