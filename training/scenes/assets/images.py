# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Images of walls, floors and doors in the `miniworld` wheel, with the size they show.

The metres that an image shows are judged by eye from its bricks, tiles and planks. Knows
nothing about how they are used.
"""

from typing import NamedTuple

import numpy as np

from training.scenes.assets.wavefront import read_texture

SIZES = {
    "brick_wall_1": ("wall", 2.0),
    "cardboard_1": ("box", 0.6),
    "cardboard_2": ("box", 0.6),
    "cardboard_3": ("box", 0.6),
    "cardboard_4": ("box", 0.6),
    "ceiling_tile_noborder_1": ("ceiling", 0.6),
    "ceiling_tiles_1": ("ceiling", 2.4),
    "cinder_blocks_1": ("wall", 1.6),
    "concrete_1": ("bare", 2.0),
    "concrete_2": ("bare", 2.0),
    "concrete_3": ("bare", 2.0),
    "concrete_4": ("bare", 2.0),
    "concrete_tiles_1": ("floor", 1.2),
    "door_steel_brown": ("door", 1.0),
    "door_steel_grey": ("door", 1.0),
    "door_steel_red": ("door", 1.0),
    "door_garage_red": ("gate", 3.0),
    "door_garage_white": ("gate", 3.0),
    "drywall_1": ("wall", 1.5),
    "floor_tiles_bw_1": ("floor", 1.2),
    "floor_tiles_white": ("floor", 1.2),
    "marble_1": ("floor", 1.5),
    "marble_2": ("floor", 1.5),
    "metal_grill_1": ("metal", 0.5),
    "metal_grill_2": ("metal", 0.5),
    "stucco_1": ("wall", 1.5),
    "wood_1": ("wood", 1.2),
    "wood_2": ("wood", 1.2),
    "wood_planks_1": ("floor", 1.2),
    "airduct_grate_1": ("metal", 0.6),
    "grass_1": ("ground", 2.0),
    "asphalt_1": ("ground", 2.0),
}


class MaterialImage(NamedTuple):
    """An image (H, W, 4) uint8 that shows `metres` of a surface, or one whole door or gate."""

    name: str
    role: str
    metres: float
    licence: str
    image: np.ndarray


def material_images(library):
    """The images of a wheel that are listed above; other libraries have none."""
    for name, (role, metres) in SIZES.items():
        image = read_texture(library, f"miniworld/textures/{name}.png")
        if image is not None:
            yield MaterialImage(name, role, metres, "Apache-2.0", image)
