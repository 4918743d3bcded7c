# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What an image processor makes of the levels of a colour, as its config says: rescaled once or
not at all, then normalised. Knows nothing about sizes or patches.
"""

import numpy as np

from depthlm_ros.errors import CheckpointError

LEVELS = np.arange(256, dtype=np.uint8)


def check_rescaling(processor) -> None:
    """CheckpointError where pictures of 0 to 255 would be rescaled to something else than 1."""
    factor = processor.rescale_factor
    if processor.do_rescale and not np.isclose(factor, 1 / 255, rtol=1e-3):
        raise CheckpointError(
            f"rescale_factor is {factor:g} in preprocessor_config.json: pictures come as 0 to"
            " 255 and are rescaled once, by 1/255, or not at all (do_rescale false)"
        )


def check_levels(processor, seen) -> None:
    """CheckpointError unless the values (3, 256) seen of LEVELS are what the config says."""
    factor = processor.rescale_factor if processor.do_rescale else 1.0
    expected = np.stack([LEVELS * factor] * 3, axis=1)
    if processor.do_normalize:
        expected = (expected - processor.image_mean) / processor.image_std
    if not np.allclose(seen.T, expected, atol=1e-4):
        raise CheckpointError(
            "the image processor does more to colours than its preprocessor_config.json says"
        )
