# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""from_pretrained of transformers: quiet, its many exceptions one sentence, its bar a callable.

Knows nothing about which parts a model is made of.
"""

import contextlib

import transformers

from depthlm_ros.errors import CheckpointError, first_line


def part(checkpoint, what, loader, **options):
    """One part by from_pretrained; whatever it raises becomes a CheckpointError."""
    try:
        return loader.from_pretrained(checkpoint.model, trust_remote_code=False, **options)
    except Exception as error:  # every loader has exceptions of its own for a bad folder
        raise CheckpointError(
            f"the {what} of {checkpoint.model} cannot be loaded: {first_line(error)}"
        ) from error


@contextlib.contextmanager
def quiet():
    """Without transformers' progress bars and load reports: the errors here say it shorter."""
    log = transformers.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


@contextlib.contextmanager
def counted(sizes, tell):
    """Inside, tell(fraction) is called after each weight that transformers has read.

    sizes: name of a weight -> its bytes. A version of transformers without a hook for its bars
    tells nothing.
    """

    def hook(factory, arguments, options):
        if options.get("desc") == "Loading weights" and arguments:
            return _counting(arguments[0], sizes, tell)
        return factory(*arguments, **options)

    set_hook = getattr(transformers.logging, "set_tqdm_hook", lambda hook: None)
    before = set_hook(hook)
    try:
        yield
    finally:
        set_hook(before)


def _counting(items, sizes, tell):
    total, read = sum(sizes.values()), 0
    for name, weight in items:
        yield name, weight
        read += sizes.get(name, 0)
        tell(read / total)
