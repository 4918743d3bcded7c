# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What questions and pictures hold in memory while a model computes them: generous estimates
from its configuration. Knows nothing about what is free.
"""

WORDS, TREE = 100, 30  # tokens of a question, and that its number may add


def question_bytes(loaded, scene) -> int:
    """Of one question about an open scene; a drawn picture is its own."""
    drawn = 0 if scene.style.shares_picture else _tokens(scene.grid)
    words = WORDS + TREE
    held = (drawn + words) * (_kept(loaded) + _active(loaded)) + drawn * _seen(loaded)
    return loaded.model.dtype.itemsize * held


def picture_bytes(loaded, grid) -> int:
    """Of one picture of (rows, columns) tokens that all questions share, while it is opened."""
    each = _kept(loaded) + _active(loaded) + _seen(loaded)
    return loaded.model.dtype.itemsize * _tokens(grid) * each


def _tokens(grid) -> int:
    return grid[0] * (grid[1] + 1)


def _kept(loaded) -> int:
    """Numbers a token leaves in all layers: its key and value, twice while they are appended."""
    config = loaded.config.get_text_config()
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 4 * config.num_hidden_layers * config.num_key_value_heads * head


def _active(loaded) -> int:
    """Numbers of a token in the layer that is being computed."""
    config = loaded.config.get_text_config()
    return 8 * config.hidden_size + 3 * config.intermediate_size


def _seen(loaded) -> int:
    """Numbers of a picture token's patches in the vision part."""
    return 20 * loaded.config.vision_config.hidden_size * loaded.vision.merge**2
