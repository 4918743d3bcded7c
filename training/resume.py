# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How a run begins again where it was killed, and how it ends: one way for every trainer.

Knows nothing about what is learnt.
"""

from accelerate import PartialState

from training import runs


def newest_told(out):
    """The complete checkpoint to go on from, None to begin; the first process says which."""
    found, skipped = runs.newest_complete(out)
    if PartialState().is_main_process:
        for why in skipped:
            print(f"skipped: {why}")
        if found:
            print(f"going on from {found}")
    return found


def run_to_end(trainer, found, manifest, out):
    """Train from the checkpoint `found` or from the start; the last checkpoint.

    trainer: a transformers Trainer with the `counts` of records that it skipped.
    """
    trainer.train(resume_from_checkpoint=str(found) if found else None)
    PartialState().wait_for_everyone()
    if PartialState().is_main_process:
        print(trainer.counts.summary())
        manifest.finish()
    return runs.newest_complete(out)[0]
