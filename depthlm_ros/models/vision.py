# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Pictures -> the tensors a model takes, by its own image processor and nothing else.

Asserts that the model sees the view snapped to the processor's multiple (28, 32 or 16) and
otherwise untouched: a second resize would change the focal length, and with it every distance,
without an error. Knows nothing about questions or engines.

What an image processor makes of the levels of a colour, as its config says: rescaled once or
not at all, then normalised. Knows nothing about sizes or patches.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from depthlm_ros.errors import CheckpointError, EngineError

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


@dataclass(frozen=True)
class Pictures:
    """N preprocessed pictures of one size.

    tensors: what the model's forward takes. size: (height, width) in pixels that the model sees.
    grid: (rows, columns) of picture tokens.
    """

    tensors: dict
    size: tuple
    grid: tuple

    def to(self, device) -> "Pictures":
        """The same on another device."""
        moved = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return Pictures(moved, self.size, self.grid)

    def focal_px(self, camera) -> tuple:
        """(fx, fy) that is left of the camera's after snapping."""
        return camera.fx * self.size[1] / camera.width, camera.fy * self.size[0] / camera.height


class QwenVision:
    """Qwen2.5-VL and Qwen3-VL: sides rounded to multiples of patch x merge.

    processor_class: the Pillow one, whatever a checkpoint names. The Auto class would take
    torchvision where it is installed, whose pictures differ, or ask for it. levels (3, 256): what
    the model takes for each level of a colour.
    """

    processor_class = "Qwen2VLImageProcessorPil"
    multimodal_positions = True
    too_small, too_large = "size.shortest_edge (min_pixels)", "size.longest_edge (max_pixels)"

    def __init__(self, config, processor, tokenizer):
        vision = config.vision_config
        self.processor = processor
        self.image_id = config.image_token_id
        self.patch, self.merge = vision.patch_size, vision.spatial_merge_size
        self._agree("patch_size", processor.patch_size, self.patch)
        self._agree("merge_size", processor.merge_size, self.merge)
        self.levels = self._levels()

    @property
    def side(self) -> int:
        """Pixels that a picture token is wide and high."""
        return self.patch * self.merge

    def prepare(self, images) -> Pictures:
        """Pictures of (h, w, 3) uint8 arrays of one size; EngineError after a second resize."""
        wanted = self.snapped(*images[0].shape[:2])
        tensors = self._processed(images)
        size = self._size(tensors)
        if size != wanted:
            self._refuse(images[0].shape[:2], wanted, size)
        return Pictures(tensors, size, tuple(s // self.side for s in size))

    def snapped(self, height, width) -> tuple:
        """(height, width) that the processor's own rule makes, its bounds left aside."""
        factor = self.side
        if self.processor.do_resize:
            return round(height / factor) * factor, round(width / factor) * factor
        if height % factor or width % factor:
            raise EngineError(
                f"do_resize is off in preprocessor_config.json, so a view must have sides that are"
                f" multiples of {factor}, not {width} x {height}: switch do_resize on"
            )
        return height, width

    def token_ids(self, grid) -> list:
        """The tokens that stand for one picture of (rows, columns)."""
        return [self.image_id] * (grid[0] * grid[1])

    def grids(self, pictures, count) -> list:
        """(t, h, w) in patches of `count` pictures, as rotary positions want them."""
        return [(1, *(side * self.merge for side in pictures.grid))] * count

    def inputs(self, base, ids, *pictures) -> dict:
        """What the model's forward takes for ids (B, L) that hold these pictures in order."""
        return {"input_ids": ids, **self.joined(pictures)}

    def joined(self, pictures) -> dict:
        """The tensors of one or several Pictures, one behind the other."""
        if len(pictures) == 1:
            return pictures[0].tensors
        names = pictures[0].tensors
        return {name: torch.cat([one.tensors[name] for one in pictures]) for name in names}

    def paste(self, pictures, index, values, top, left) -> None:
        """Put values (3, h, w) into one of the pictures; sides and corner at whole tokens."""
        rows, columns = (length // self.side for length in values.shape[1:])
        of_patch = values.unflatten(2, (columns, self.merge, self.patch)).unflatten(
            1, (rows, self.merge, self.patch)
        )
        tiles = of_patch.permute(1, 4, 2, 5, 0, 3, 6)[:, :, :, :, :, None]
        there = self._tiles(pictures, index)[top // self.side :, left // self.side :]
        there[:rows, :columns].copy_(tiles)

    def _size(self, tensors):
        grid = tensors["image_grid_thw"][0].tolist()
        return grid[1] * self.patch, grid[2] * self.patch

    def _processed(self, images, **options):
        pictures = [Image.fromarray(image) for image in images]
        try:
            found = self.processor(images=pictures, return_tensors="pt", **options)
        except ValueError as error:
            height, width = images[0].shape[:2]
            raise EngineError(f"a view of {width} x {height} was refused: {error}") from error
        return dict(found)

    def _refuse(self, asked, wanted, got):
        entry = self.too_small if got > wanted else self.too_large
        raise EngineError(
            f"the image processor made {got[1]} x {got[0]} of a view of {asked[1]} x {asked[0]}"
            f" where {wanted[1]} x {wanted[0]} is its multiple: that changes the focal length;"
            f" change {entry} in the checkpoint's preprocessor_config.json"
        )

    def _agree(self, name, processors, models):
        if processors != models:
            raise CheckpointError(
                f"{name} is {processors} in preprocessor_config.json and {models} in the model's"
                " config.json: the files are of different models"
            )

    def _levels(self):
        """(3, 256): the processor's value of each level of a colour."""
        check_rescaling(self.processor)
        side = 2 * self.side
        image = np.resize(LEVELS, (side, side, 1)).repeat(3, axis=2)
        tensors = self._processed([image], do_resize=False)
        seen = self._values(Pictures(tensors, (side, side), (2, 2)))[:, : len(LEVELS)]
        check_levels(self.processor, seen)
        return seen

    def _values(self, pictures):
        """(3, pixels) of the first picture, in its raster."""
        tiles = self._tiles(pictures, 0)[:, :, :, :, :, 0]
        return tiles.permute(4, 0, 2, 5, 1, 3, 6).reshape(3, -1)

    def _tiles(self, pictures, index):
        """One picture's values, (rows, columns, merge, merge, 3, frames, patch, patch), as they
        lie in memory."""
        tokens = -1, *pictures.grid, self.merge, self.merge
        patches = pictures.tensors["pixel_values"].unflatten(0, tokens)[index]
        return patches.unflatten(-1, (3, -1, self.patch, self.patch))


class PixtralVision(QwenVision):
    """Llava with Pixtral: sides rounded up to multiples of a patch, rows end with a break."""

    processor_class = "PixtralImageProcessorPil"
    multimodal_positions = False
    too_small = too_large = "size.longest_edge"

    def __init__(self, config, processor, tokenizer):
        if config.vision_config.model_type != "pixtral":
            raise CheckpointError(
                f"a llava model with a {config.vision_config.model_type} vision part is not"
                " supported, only with pixtral"
            )
        self.processor = processor
        self.image_id = config.image_token_id
        self.patch, self.merge = config.vision_config.patch_size, 1
        self.break_id, self.end_id = tokenizer.convert_tokens_to_ids(["[IMG_BREAK]", "[IMG_END]"])
        patch = processor.patch_size
        self._agree(
            "patch_size", patch["height"] if isinstance(patch, dict) else patch, self.patch
        )
        self.levels = self._levels()

    def snapped(self, height, width) -> tuple:
        """(height, width) rounded up; without do_resize as it is, the model cuts the rest off."""
        if not self.processor.do_resize:
            return height, width
        return tuple(-(-side // self.patch) * self.patch for side in (height, width))

    def token_ids(self, grid) -> list:
        """Rows of picture tokens, each closed by a break, the last by the end."""
        row = [self.image_id] * grid[1] + [self.break_id]
        return (row * grid[0])[:-1] + [self.end_id]

    def inputs(self, base, ids, *pictures) -> dict:
        """Picture by picture: the model would attend over all pictures of a batch at once."""
        tensors = self.joined(pictures)
        features = [
            base.get_image_features(
                pixel_values=tensors["pixel_values"][i : i + 1],
                image_sizes=tensors["image_sizes"][i : i + 1],
                return_dict=True,
            ).pooler_output[0]
            for i in range(len(tensors["image_sizes"]))
        ]
        words = base.get_input_embeddings()(ids)
        places = (ids == self.image_id).unsqueeze(-1)
        return {"inputs_embeds": words.masked_scatter(places, torch.cat(features).to(words))}

    def joined(self, pictures) -> dict:
        """All padded at right and bottom to one size; the model cuts by image_sizes."""
        if len(pictures) == 1:
            return pictures[0].tensors
        sides = [max(one.size[axis] for one in pictures) for axis in (0, 1)]
        return super().joined([_padded(one, *sides) for one in pictures])

    def paste(self, pictures, index, values, top, left) -> None:
        """Put values (3, h, w) into one of the pictures."""
        _, height, width = values.shape
        there = pictures.tensors["pixel_values"][index, :, top : top + height]
        there[..., left : left + width] = values

    def _values(self, pictures):
        return pictures.tensors["pixel_values"][0].flatten(1)

    def _size(self, tensors):
        return tuple(int(side) for side in tensors["image_sizes"][0])


def _padded(pictures, height, width) -> Pictures:
    values = pictures.tensors["pixel_values"]
    more = (0, width - values.shape[3], 0, height - values.shape[2])
    padded = torch.nn.functional.pad(values, more)
    return replace(pictures, tensors={**pictures.tensors, "pixel_values": padded})


FAMILIES = {"qwen2_5_vl": QwenVision, "qwen3_vl": QwenVision, "llava": PixtralVision}
