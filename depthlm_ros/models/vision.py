# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Images -> the tensors a model takes, by its own image processor and nothing else.

Asserts that the model sees the view snapped to the processor's multiple (28, 32 or 16) and
otherwise untouched: a second resize would change the focal length, and with it every distance,
without an error (`limits` tells which views are safe from one); and that values are rescaled and
normalised as the checkpoint's config says.

An adapter for each architecture: a new one is a class here and a line in FAMILIES. Preparer makes
the same tensors several times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from depthlm_ros.errors import CheckpointError, EngineError
from depthlm_ros.view import ViewLimits

CPU = torch.device("cpu")
LEVELS = np.arange(256, dtype=np.uint8)  # of a colour
VALUES = "pixel_values"  # what every model's forward calls them
Part = tuple[int, int, int, np.ndarray]  # (which image, top, left, (h, w, 3) uint8)


@dataclass(frozen=True)
class ImageTensors:
    """N preprocessed images of one size.

    tensors: what the model's forward takes. size: (height, width) in pixels that the model sees.
    grid: (rows, columns) of image tokens.
    """

    tensors: dict[str, torch.Tensor]
    size: tuple[int, int]
    grid: tuple[int, int]

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.tensors[VALUES].device

    def to(self, device: torch.device) -> ImageTensors:
        """The same on another device, which may still be copying them."""
        moved = {name: t.to(device, non_blocking=True) for name, t in self.tensors.items()}
        return ImageTensors(moved, self.size, self.grid)


class QwenVision:
    """Qwen2.5-VL and Qwen3-VL: sides rounded to multiples of patch x merge.

    window: image tokens along each side of the windows in whose order the vision part keeps them
        (Qwen2.5-VL); 0 where it keeps rows.
    processor_class: the Pillow one, whatever a checkpoint names. The Auto class would take
        torchvision where it is installed, whose images differ, or ask for it.
    sizes: of the tensors, that which has a row for each image.
    levels: (3, 256), what the model takes for each level of a colour.
    """

    processor_class = "Qwen2VLImageProcessorPil"
    multimodal_positions = True
    sizes = "image_grid_thw"
    window = 0
    _levels_there: torch.Tensor | None = None  # on the device where they were wanted last
    too_small, too_large = "size.shortest_edge (min_pixels)", "size.longest_edge (max_pixels)"

    def __init__(self, config: Any, processor: Any, tokenizer: Any):
        vision = config.vision_config
        self.processor = processor
        self.image_id = config.image_token_id
        self.patch, self.merge = vision.patch_size, vision.spatial_merge_size
        self._agree("patch_size", processor.patch_size, self.patch)
        self._agree("merge_size", processor.merge_size, self.merge)
        self.window = getattr(vision, "window_size", 0) // self.side
        self.levels = self._levels()

    @property
    def side(self) -> int:
        """Pixels that an image token is wide and high."""
        return self.patch * self.merge

    @property
    def limits(self) -> ViewLimits:
        """The views that the processor leaves at their size, by its own bounds."""
        if not self.processor.do_resize:
            return ViewLimits(self.side, "exact")
        size = self.processor.size
        return ViewLimits(
            token=self.side,
            least_pixels=size["shortest_edge"],
            most_pixels=size["longest_edge"],
        )

    def prepare(self, images: Sequence[np.ndarray]) -> ImageTensors:
        """Of (h, w, 3) uint8 arrays of one size; EngineError after a second resize."""
        wanted = self.snapped(*images[0].shape[:2])
        tensors = self._processed(images)
        size = self._size(tensors)
        if size != wanted:
            self._refuse(images[0].shape[:2], wanted, size)
        return ImageTensors(tensors, size, (size[0] // self.side, size[1] // self.side))

    def snapped(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that the processor's own rule makes, its bounds left aside."""
        factor = self.side
        if self.processor.do_resize:
            height, width = (max(round(side / factor), 1) for side in (height, width))
            return height * factor, width * factor
        if height % factor or width % factor:
            raise EngineError(
                f"do_resize is off in preprocessor_config.json, so a view must have sides that are"
                f" multiples of {factor}, not {width} x {height}: switch do_resize on"
            )
        return height, width

    def token_ids(self, grid: tuple[int, int]) -> list[int]:
        """The tokens that stand for one image of (rows, columns)."""
        return [self.image_id] * (grid[0] * grid[1])

    def count(self, prepared: ImageTensors) -> int:
        """How many images they are."""
        return len(prepared.tensors[self.sizes])

    def grids(self, prepared: ImageTensors, count: int) -> list[tuple[int, int, int]]:
        """(t, h, w) in patches of `count` images, as rotary positions want them."""
        rows, columns = prepared.grid
        return [(1, rows * self.merge, columns * self.merge)] * count

    def joined(self, prepared: Sequence[ImageTensors]) -> dict[str, torch.Tensor]:
        """The tensors of one or several ImageTensors, one behind the other."""
        if len(prepared) == 1:
            return prepared[0].tensors
        names = prepared[0].tensors
        return {name: torch.cat([one.tensors[name] for one in prepared]) for name in names}

    def values(self, image: np.ndarray, device: torch.device) -> torch.Tensor:
        """The pixel_values of one (h, w, 3) uint8 array at the size that the model sees."""
        tiles = self._bytes(image).reshape(-1, 3, 1, self.patch**2)
        return self._looked_up(tiles, device).expand(-1, -1, 2, -1).flatten(1)

    def put(self, prepared: ImageTensors, parts: Sequence[Part]) -> None:
        """Put bytes into images that are prepared, sides and corners at whole tokens; all in one
        copy to their device."""
        rows, columns = prepared.grid
        places, tiles = [], []
        for index, top, left, image in parts:
            high, wide = (length // self.side for length in image.shape[:2])
            of_rows = index * rows + top // self.side + np.arange(high)
            places.append(
                (of_rows[:, None] * columns + left // self.side + np.arange(wide)).ravel()
            )
            tiles.append(self._bytes(image).reshape(-1, self.merge**2, 3, 1, self.patch**2))
        there = torch.from_numpy(np.concatenate(places)).to(prepared.device, non_blocking=True)
        values = self._looked_up(np.concatenate(tiles), prepared.device)
        tokens = prepared.tensors[VALUES].view(-1, self.merge**2, 3, 2, self.patch**2)
        tokens.index_copy_(0, there, values.expand(-1, -1, -1, 2, -1))

    def _bytes(self, image: np.ndarray) -> np.ndarray:
        """(rows, columns, merge, merge, 3, patch, patch) of an image or a part in whole tokens."""
        rows, columns = (side // self.side for side in image.shape[:2])
        tiles = image.reshape(rows, self.merge, self.patch, columns, self.merge, self.patch, 3)
        return np.ascontiguousarray(tiles.transpose(0, 3, 1, 4, 6, 2, 5))

    def _looked_up(self, tiles: np.ndarray, device: torch.device) -> torch.Tensor:
        """Values (..., 3, 1, pixels) of bytes; numpy looks them up fastest on a processor."""
        if device.type == "cpu":
            levels = self.levels.numpy()
            channels = [levels[c][tiles[..., c, :, :]] for c in range(3)]
            return torch.from_numpy(np.stack(channels, -3))
        writable = np.require(tiles, requirements="W")  # else torch warns
        return looked_up(self._levels_on(device), torch.from_numpy(writable), device)

    def _levels_on(self, device: torch.device) -> torch.Tensor:
        if self._levels_there is None or self._levels_there.device != device:
            self._levels_there = self.levels.to(device)
        return self._levels_there

    def colours(self, prepared: ImageTensors) -> torch.Tensor:
        """(N, 3, H, W) float32: the images as the model sees them, RGB in [0, 1]."""
        values = self._raster(prepared).float()
        black, white = (self.levels[:, end, None, None].to(values) for end in (0, -1))
        return (values - black) / (white - black)

    def maps(self, states: torch.Tensor, grids: Sequence[tuple[int, int]]) -> list[torch.Tensor]:
        """[(1, C, rows, columns) in patches] of images whose grids of image tokens are given, from
        the states (patches of all, C) behind a layer of the vision part."""
        per_token = self.merge**2
        counts = [rows * columns * per_token for rows, columns in grids]
        return [
            self._map(own.unflatten(0, (-1, per_token)), grid)
            for own, grid in zip(states.split(counts), grids, strict=True)
        ]

    def _map(self, tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """(1, C, rows, columns) of the patches (tokens, patches of one, C) of one image."""
        rows, columns = grid
        if self.window:
            tokens = tokens[stock_order(rows, columns, self.window).argsort().to(tokens.device)]
        placed = tokens.view(rows, columns, self.merge, self.merge, -1).permute(4, 0, 2, 1, 3)
        return placed.reshape(1, -1, rows * self.merge, columns * self.merge)

    def _raster(self, prepared: ImageTensors) -> torch.Tensor:
        """(N, 3, H, W): the values that the model is given, of single frames."""
        tiles = prepared.tensors[VALUES].unflatten(0, (-1, *prepared.grid, self.merge, self.merge))
        tiles = tiles.unflatten(-1, (3, -1, self.patch, self.patch))[:, :, :, :, :, :, 0]
        return tiles.permute(0, 5, 1, 3, 6, 2, 4, 7).reshape(-1, 3, *prepared.size)

    def _size(self, tensors: dict[str, torch.Tensor]) -> tuple[int, int]:
        grid = tensors[self.sizes][0].tolist()
        return grid[1] * self.patch, grid[2] * self.patch

    def _processed(self, images: Sequence[np.ndarray], **options: Any) -> dict[str, torch.Tensor]:
        given = [Image.fromarray(image) for image in images]
        try:
            found = self.processor(images=given, return_tensors="pt", **options)
        except ValueError as error:
            height, width = images[0].shape[:2]
            raise EngineError(f"a view of {width} x {height} was refused: {error}") from error
        return dict(found)

    def _refuse(
        self, asked: tuple[int, int], wanted: tuple[int, int], got: tuple[int, int]
    ) -> None:
        entry = self.too_small if got > wanted else self.too_large
        raise EngineError(
            f"the image processor made {got[1]} x {got[0]} of a view of {asked[1]} x {asked[0]}"
            f" where {wanted[1]} x {wanted[0]} is its multiple: that changes the focal length;"
            f" change {entry} in the checkpoint's preprocessor_config.json"
        )

    def _agree(self, name: str, processors: int, models: int) -> None:
        if processors != models:
            raise CheckpointError(
                f"{name} is {processors} in preprocessor_config.json and {models} in the model's"
                " config.json: the files are of different models"
            )

    def _levels(self) -> torch.Tensor:
        """(3, 256): the processor's value of each level of a colour."""
        _check_rescaling(self.processor)
        side = 2 * self.side
        image = np.resize(LEVELS, (side, side, 1)).repeat(3, axis=2)
        tensors = self._processed([image], do_resize=False)
        seen = self._values(ImageTensors(tensors, (side, side), (2, 2)))[:, : len(LEVELS)]
        _check_levels(self.processor, seen)
        return seen

    def _values(self, prepared: ImageTensors) -> torch.Tensor:
        """(3, pixels) of the first image, in its raster."""
        return self._raster(prepared)[0].flatten(1)


class PixtralVision(QwenVision):
    """Llava with Pixtral: sides rounded up to multiples of a patch, rows end with a break."""

    processor_class = "PixtralImageProcessorPil"
    multimodal_positions = False
    sizes = "image_sizes"
    too_small = too_large = "size.longest_edge"

    def __init__(self, config: Any, processor: Any, tokenizer: Any):
        if config.vision_config.model_type != "pixtral":
            raise CheckpointError(
                f"a llava model with a {config.vision_config.model_type} vision part is not"
                " supported, only with pixtral"
            )
        layer, strategy = config.vision_feature_layer, config.vision_feature_select_strategy
        if layer != -1 or strategy != "full":
            raise CheckpointError(
                f"vision_feature_layer is {layer} and vision_feature_select_strategy {strategy!r}"
                " in config.json: supported are the last layer, -1, in full"
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

    @property
    def limits(self) -> ViewLimits:
        """The views that the processor leaves at their size, by its own bounds."""
        if not self.processor.do_resize:
            return ViewLimits(self.patch, "none")
        size = self.processor.size
        bounds = [size[name] for name in ("longest_edge", "height", "width") if _has(size, name)]
        return ViewLimits(self.patch, "up", longest_side=min(bounds))

    def snapped(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) rounded up; without do_resize as it is, the model cuts the rest off."""
        if not self.processor.do_resize:
            return height, width
        patch = self.patch
        return -(-height // patch) * patch, -(-width // patch) * patch

    def token_ids(self, grid: tuple[int, int]) -> list[int]:
        """Rows of image tokens, each closed by a break, the last by the end."""
        row = [self.image_id] * grid[1] + [self.break_id]
        return (row * grid[0])[:-1] + [self.end_id]

    def joined(self, prepared: Sequence[ImageTensors]) -> dict[str, torch.Tensor]:
        """All padded at right and bottom to one size; the model cuts by image_sizes."""
        if len(prepared) == 1:
            return prepared[0].tensors
        height, width = (max(one.size[axis] for one in prepared) for axis in (0, 1))
        return super().joined([_padded(one, height, width) for one in prepared])

    def values(self, image: np.ndarray, device: torch.device) -> torch.Tensor:
        """The pixel_values of one (h, w, 3) uint8 array at the size that the model sees."""
        channels = self._bytes(image).reshape(3, 1, -1)
        return self._looked_up(channels, device).view(1, 3, *image.shape[:2])

    def put(self, prepared: ImageTensors, parts: Sequence[Part]) -> None:
        """Put bytes into images that are prepared; all in one copy to their device."""
        height, width = prepared.tensors[VALUES].shape[2:]
        places, pixels = [], []
        for index, top, left, image in parts:
            rows, columns = (np.arange(length) for length in image.shape[:2])
            planes = (3 * index + np.arange(3))[:, None, None] * height
            places.append(
                ((planes + (top + rows)[:, None]) * width + left + columns).reshape(3, -1)
            )
            pixels.append(self._bytes(image).reshape(3, 1, -1))
        there = torch.from_numpy(np.concatenate(places, 1).ravel())
        values = self._looked_up(np.concatenate(pixels, 2), prepared.device)
        prepared.tensors[VALUES].view(-1).index_copy_(
            0, there.to(prepared.device, non_blocking=True), values.flatten()
        )

    def _bytes(self, image: np.ndarray) -> np.ndarray:
        """(3, h, w) of an image or a part."""
        return np.moveaxis(image, 2, 0)

    def _raster(self, prepared: ImageTensors) -> torch.Tensor:
        height, width = prepared.size
        return prepared.tensors[VALUES][:, :, :height, :width]

    def _size(self, tensors: dict[str, torch.Tensor]) -> tuple[int, int]:
        height, width = tensors[self.sizes][0].tolist()
        return height, width


class Preparer:
    """Images -> tensors, equal to what the stock image processor makes and several times faster.

    The same Pillow resize; then bytes are put where the model wants them, and only then looked up
    in the processor's own table of colours: on the CPU, or on a GPU that is sent the bytes once.
    The first image of each size goes through the stock processor too, which checks its bounds, and
    that both say the same.

    vision: a checkpoint's own. device: where the tensors are wanted.
    """

    def __init__(self, vision: QwenVision, device: torch.device = CPU):
        self._vision, self._device = vision, device
        # size of an image -> ImageTensors of that size, without values
        self._known: dict[tuple[int, ...], ImageTensors] = {}

    def prepare(self, image: np.ndarray) -> ImageTensors:
        """One (h, w, 3) uint8 array as vision.prepare([image]) makes it, with its errors."""
        known = self._known.get(image.shape)
        if known is None:
            return self._first(image)
        return replace(known, tensors={**known.tensors, VALUES: self._values(image, known.size)})

    def _first(self, image: np.ndarray) -> ImageTensors:
        stock = self._vision.prepare([image])
        if not torch.equal(self._values(image, stock.size).cpu(), stock.tensors[VALUES]):
            raise EngineError(
                "the image processor does more to an image than its preprocessor_config.json says"
            )
        stock = stock.to(self._device)
        rest = {name: tensor for name, tensor in stock.tensors.items() if name != VALUES}
        self._known[image.shape] = replace(stock, tensors=rest)
        return stock

    def _values(self, image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
        if image.shape[:2] != size:
            sides = size[1], size[0]
            filtered = Image.fromarray(image).resize(sides, self._vision.processor.resample)
            image = np.asarray(filtered)
        return self._vision.values(image, self._device)


def windows_of(rows: int, columns: int, side: int) -> list[torch.Tensor]:
    """Numbers of the image tokens of each square window, row by row in it, the windows row by row;
    those at right and bottom may be smaller."""
    numbers = torch.arange(rows * columns).view(rows, columns)
    return [window.flatten() for strip in numbers.split(side) for window in strip.split(side, 1)]


def stock_order(rows: int, columns: int, side: int) -> torch.Tensor:
    """(rows * columns,) numbers of image tokens, window behind window: in which order Qwen2.5-VL's
    vision part keeps them (arXiv 2502.13923)."""
    return torch.cat(windows_of(rows, columns, side))


def looked_up(levels: torch.Tensor, tiles: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Values (..., 3, 1, pixels) of bytes of that shape, which are sent to the device as they are;
    levels (3, 256) is there."""
    sent = tiles.to(device, non_blocking=True)
    channels = torch.arange(0, 3 * 256, 256, device=device)[:, None, None]
    return levels.flatten()[sent.long() + channels]


def _has(size: Any, name: str) -> bool:
    """Whether a processor's size, a dict or like one, has an entry."""
    return name in size and size[name] is not None


def _padded(prepared: ImageTensors, height: int, width: int) -> ImageTensors:
    values = prepared.tensors[VALUES]
    more = (0, width - values.shape[3], 0, height - values.shape[2])
    padded = torch.nn.functional.pad(values, more)
    return replace(prepared, tensors={**prepared.tensors, VALUES: padded})


def _check_rescaling(processor: Any) -> None:
    """CheckpointError where images of 0 to 255 would be rescaled to something else than 1."""
    factor = processor.rescale_factor
    if processor.do_rescale and not np.isclose(factor, 1 / 255, rtol=1e-3):
        raise CheckpointError(
            f"rescale_factor is {factor:g} in preprocessor_config.json: images come as 0 to"
            " 255 and are rescaled once, by 1/255, or not at all (do_rescale false)"
        )


def _check_levels(processor: Any, seen: torch.Tensor) -> None:
    """CheckpointError unless the values (3, 256) seen of LEVELS are what the config says."""
    factor = processor.rescale_factor if processor.do_rescale else 1.0
    expected = np.stack([LEVELS * factor] * 3, axis=1)
    if processor.do_normalize:
        expected = (expected - processor.image_mean) / processor.image_std
    if not np.allclose(seen.T, expected, atol=1e-4):
        raise CheckpointError(
            "the image processor does more to colours than its preprocessor_config.json says"
        )


FAMILIES = {"qwen2_5_vl": QwenVision, "qwen3_vl": QwenVision, "llava": PixtralVision}
