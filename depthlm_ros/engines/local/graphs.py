# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Passes of few questions as CUDA graphs: started at once, where a GPU's host takes longer to
start their thousand kernels one by one than they take to compute.

A graph repeats what was recorded, with the same sizes and at the same addresses. So what changes
is copied into tensors of fixed sizes (Recording), and the rows of a step get a place, where what
they see lies and their trees grow. In a pass each row has as many slots for tokens; in those that
are left over a token grows that nobody looks at. Rows without a place grow as ever.

Off unless it is asked for: no GPU has run it yet. On a processor a stand-in for CUDA's graphs
repeats the same operations in the same memory (test/testing/tape.py).
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch

from depthlm_ros.engines.capacity import image_bytes
from depthlm_ros.engines.local.cache import Block, Branches, Grown, NoPrompt, Prompt, Words
from depthlm_ros.engines.local.plan import Paths, Plan, slots_of
from depthlm_ros.errors import first_line
from depthlm_ros.models.compat import KeysValues
from depthlm_ros.models.decoder import prefill, run
from depthlm_ros.models.listeners import is_any_heard
from depthlm_ros.models.loading import Loaded
from depthlm_ros.models.memory import free_bytes
from depthlm_ros.models.vision import ImageTensors

ROWS = 8  # in a place at most: with more a GPU computes longer than its host takes to start it
SLOTS = 8, 16, 32  # tokens of a row in one pass
COLUMNS = 64  # tokens of a row that may grow in all; the last one is of slots that are left over
KEPT = 8  # places, and recordings of whole prompts
SHARE = 0.1  # of the free memory that one of them may take

Action = Callable[[], Any]  # computes tensors
Record = Callable[[Action], Action]  # gives what repeats an action in place of computing it


class NotRecorded(Exception):
    """A pass has to be computed."""


def cuda_graphs(device: torch.device) -> Record:
    """Records on a GPU. All that is recorded shares memory: a result holds until the next pass."""
    pool = torch.cuda.graph_pool_handle()

    def record(action: Action) -> Action:
        with torch.cuda.device(device):
            aside, now = torch.cuda.Stream(), torch.cuda.current_stream()
            aside.wait_stream(now)
            with torch.cuda.stream(aside):
                action()  # what only the first run does cannot be recorded
            now.wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            # Other threads may go on using the GPU.
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                found = action()

        def repeat() -> Any:
            graph.replay()
            return found

        return repeat

    return record


class Graphs:
    """What was recorded of one model."""

    def __init__(self, loaded: Loaded, record: Record):
        self.loaded = loaded
        self._record = record
        self._places: dict[Hashable, Place] = {}  # the one used last is the last
        self._prompts: dict[Hashable, Recording] = {}
        self._is_off = False

    def prefill(
        self, ids: torch.Tensor, positions: torch.Tensor, *images: ImageTensors, last: int
    ) -> tuple[torch.Tensor, list[KeysValues]]:
        """decoder.prefill; repeated where it is of one prompt."""
        try:
            return self._repeated(ids, positions, images, last)
        except NotRecorded:
            return prefill(self.loaded, ids, positions, *images, last=last)

    def _repeated(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        images: Sequence[ImageTensors],
        last: int,
    ) -> tuple[torch.Tensor, list[KeysValues]]:
        kinds = [(sorted(one.tensors), one.size, one.grid) for one in images]
        tensors = [one.tensors[name] for one in images for name in sorted(one.tensors)]
        size = last, *(tuple(one.shape) for one in (ids, *tensors)), *(one.grid for one in images)
        recording = self._prompts.pop(size, None)
        if recording is None:
            needed = sum(image_bytes(self.loaded, one.grid) for one in images)
            if self._is_off or len(ids) > 1 or not self._fits(needed):
                raise NotRecorded
            recording = self.recording(lambda *given: self._prefilled(kinds, last, *given))
            recording.holds = [self.loaded.tower.layout(one) for one in images]
            _drop_oldest(self._prompts)
        states, kept = recording(ids, positions, *tensors)
        self._prompts[size] = recording
        return states.clone(), [(keys.clone(), values.clone()) for keys, values in kept]

    def place(
        self, holder: object, prompt: Prompt, rows: int, length: int, like: Sequence[KeysValues]
    ) -> Place | None:
        """A place for so many rows with words of one length, holder's until that is gone; None
        where there is none for them: too many, too little memory, or all are taken.

        like: (keys, values) per layer, of the heads and the type that a row has.
        """
        if self._is_off or rows > ROWS:
            return None
        rows = 1 << (rows - 1).bit_length()
        size = rows, prompt.length, length
        place = self._places.pop(size, None)
        if place is None:
            _drop_oldest(self._places, lambda one: not one.is_taken)
            each = sum(one[:1, :, :1].nbytes for pair in like for one in pair)
            needed = each * (prompt.length + rows * (length + COLUMNS))
            if len(self._places) >= KEPT or not self._fits(needed):
                return None
            place = Place(self, rows, prompt, length, like)
        self._places[size] = place
        return place if place.take(holder, prompt) else None

    def _fits(self, needed: float) -> bool:
        return needed <= SHARE * free_bytes(self.loaded.device)

    def recording(self, compute: Callable[..., Any]) -> Recording:
        """A Recording of what computes."""
        return Recording(compute, self._recorded, self.loaded.device)

    def _recorded(self, action: Action) -> Action:
        """Raises NotRecorded where it cannot be recorded, and all are off from then on."""
        try:
            return self._record(action)
        except RuntimeError as error:
            self._is_off = True
            logging.getLogger(__name__).warning(
                "a pass cannot be recorded as a CUDA graph, so graphs are off from now on: %s",
                first_line(error),
            )
            raise NotRecorded from error

    def _prefilled(
        self,
        kinds: Sequence[tuple[list[str], tuple[int, int], tuple[int, int]]],
        last: int,
        ids: torch.Tensor,
        positions: torch.Tensor,
        *tensors: torch.Tensor,
    ) -> tuple[torch.Tensor, list[KeysValues]]:
        """kinds: names of its tensors, size and grid of each image."""
        left = iter(tensors)
        images = [
            ImageTensors({name: next(left) for name in names}, size, grid)
            for names, size, grid in kinds
        ]
        return prefill(self.loaded, ids, positions, *images, last=last)


class Recording:
    """A computation over tensors of fixed sizes, which are filled anew each time.

    holds: what it needs that somebody else might let go of.
    """

    holds: Sequence[object] = ()

    def __init__(self, compute: Callable[..., Any], record: Record, device: torch.device) -> None:
        self._compute, self._record, self._device = compute, record, device
        self._inputs: list[torch.Tensor] = []
        self._repeat: Action | None = None

    def __call__(self, *given: torch.Tensor) -> Any:
        """What is computed of tensors, on the host or on the device, of always the same sizes; it
        holds until the next pass. Raises NotRecorded where it cannot be recorded, and while
        somebody listens to a layer, who would hear nothing."""
        if is_any_heard():
            raise NotRecorded
        if not self._inputs:
            self._inputs = [
                torch.empty(one.shape, dtype=one.dtype, device=self._device) for one in given
            ]
        for here, there in zip(self._inputs, given, strict=True):
            here.copy_(there, non_blocking=True)
        if self._repeat is None:
            self._repeat = self._record(lambda: self._compute(*self._inputs))
        return self._repeat()


class Place:
    """Where up to so many rows with words of one length, behind a prompt or without, grow by what
    was recorded. R: how many they are; some may be left over."""

    def __init__(
        self, graphs: Graphs, rows: int, prompt: Prompt, length: int, like: Sequence[KeysValues]
    ):
        """like: see Graphs.place."""
        self._graphs, self._loaded, self._rows = graphs, graphs.loaded, rows
        same = [(torch.zeros_like(keys), torch.zeros_like(values)) for keys, values in prompt.kept]
        self._prompt = Prompt(same) if same else NoPrompt()
        self._block = Block(range(rows), length, [_zeros(rows, length, pair) for pair in like])
        _, heads, _, width = like[0][0].shape
        self._grown = [
            torch.zeros((2 * heads, rows * COLUMNS, width), device=self._loaded.device)
            for _ in like
        ]
        self._used = np.zeros(rows, np.int64)  # columns of each row
        self._begins: dict[int, Recording] = {}  # by how many last words are wanted
        self._passes: dict[int, Recording] = {}  # by slots
        self._holder: Callable[[], object] = lambda: None

    @property
    def is_taken(self) -> bool:
        """Whether those who hold it are still there."""
        return self._holder() is not None

    def take(self, holder: object, prompt: Prompt) -> bool:
        """Copy the prompt; False where others are here."""
        if self.is_taken:
            return False
        self._holder = weakref.ref(holder)
        self._used[:] = 0
        _copy(self._prompt.kept, prompt.kept)
        return True

    def fill(self, block: Block) -> None:
        """Copy the words of rows that are known."""
        _copy(self._block.kept, block.kept)

    def begin(self, ids: torch.Tensor, positions: torch.Tensor, last: int) -> torch.Tensor:
        """Hidden states (N, last, width) of the last words of rows (N, L), with positions
        (3, N, L). Raises NotRecorded."""
        if last not in self._begins:
            self._begins[last] = self._graphs.recording(lambda *given: self._words(last, *given))
        left = 0, 0, 0, self._rows - len(ids)  # rows
        padded = (torch.nn.functional.pad(one, left) for one in (ids, positions))
        return self._begins[last](*padded)[: len(ids)].clone()

    def words(self, rows: int) -> Block:
        """The first rows, with their words where they lie here."""
        kept = [(keys[:rows], values[:rows]) for keys, values in self._block.kept]
        return Block(range(rows), self._block.length, kept)

    def grow(
        self,
        rows: np.ndarray,
        paths: Paths,
        ids: torch.Tensor,
        positions: torch.Tensor,
        lies: list[int],
    ) -> torch.Tensor:
        """Hidden states (M, width) as Rows.grow, of rows (M,). Raises NotRecorded, also where the
        tokens do not fit.

        lies: where each token lies among all that ever grew; those of this round are appended.
        """
        slot = slots_of(rows)
        column = self._used[rows] + slot
        slots = next((number for number in SLOTS if number > slot.max()), 0)
        if not slots or column.max() >= COLUMNS - 1:
            raise NotRecorded
        places, spare = rows * COLUMNS + column, COLUMNS - 1
        known = np.concatenate([np.array(lies, np.int64), places])
        dark = np.ones((self._rows, slots, COLUMNS), bool)
        dark[:, :, spare] = False
        dark[rows, slot, spare] = True
        each = np.arange(len(rows)).repeat(paths.lengths)
        dark[rows[each], slot[each], known[paths.numbers] % COLUMNS] = False
        at, size = rows * slots + slot, self._rows * slots
        all_places = np.arange(self._rows).repeat(slots) * COLUMNS + spare
        all_places[at] = places
        if slots not in self._passes:
            self._passes[slots] = self._graphs.recording(self._branches)
        found = self._passes[slots](
            _spread(ids, at, size),
            _spread(positions, at, size),
            torch.from_numpy(all_places),
            torch.from_numpy(dark),
        )
        self._used += np.bincount(rows, minlength=self._rows)
        lies += places.tolist()
        return found[torch.from_numpy(at).to(found.device, non_blocking=True)]

    def moved(self, lies: Sequence[int]) -> Grown:
        """A copy of what grew, in the order of its numbers."""
        there = torch.tensor(lies, dtype=torch.long).to(self._loaded.device, non_blocking=True)
        return Grown([kept[:, there] for kept in self._grown])

    # What is recorded.

    def _words(self, last: int, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """States (R, last, width) of ids (R, L) and positions (3, R, L)."""
        count, length = ids.shape
        block = Block(range(count), length)
        words = Words(self._prompt, [block])
        ends = torch.arange(count * length, device=ids.device).view(count, length)[:, -last:]
        packed = ids.flatten(), positions.flatten(1)
        wanted = ends[:, 0] if last == 1 else None
        states = run(self._loaded, *packed, words, wanted)
        _copy(self._block.kept, block.kept)
        return states[:, None] if last == 1 else states[ends]

    def _branches(
        self, ids: torch.Tensor, positions: torch.Tensor, places: torch.Tensor, dark: torch.Tensor
    ) -> torch.Tensor:
        """States (R * S, width) of ids (R * S,) and positions (3, R * S), which lie in places
        (R * S,) and do not see what is dark (R, S, COLUMNS)."""

        def extend(layer: int, offered: torch.Tensor) -> KeysValues:
            kept = self._grown[layer]
            kept.index_copy_(1, places, offered.transpose(0, 1).float())
            keys, values = kept.chunk(2)
            return keys, values

        plan = Plan(dark, {0: slice(0, self._rows)})
        branches = Branches(self._prompt, [self._block], extend, plan)
        return run(self._loaded, ids, positions, branches)


def _drop_oldest(
    kept: dict[Hashable, Any], may_go: Callable[[Any], bool] = lambda one: True
) -> None:
    """Of those that may go, where there are too many."""
    going = [key for key, one in kept.items() if may_go(one)]
    if len(kept) >= KEPT and going:
        del kept[going[0]]


def _zeros(rows: int, length: int, like: KeysValues) -> KeysValues:
    keys, values = (one.new_zeros(rows, one.shape[1], length, one.shape[3]) for one in like)
    return keys, values


def _spread(given: torch.Tensor, at: np.ndarray, size: int) -> torch.Tensor:
    """(..., size) with what is given (..., M) at so many places, zeros elsewhere."""
    found = given.new_zeros((*given.shape[:-1], size))
    found[..., torch.from_numpy(at)] = given
    return found


def _copy(here: Sequence[KeysValues], there: Sequence[KeysValues]) -> None:
    """Into the first rows of what is here."""
    for kept, new in zip(here, there, strict=True):
        for one, other in zip(kept, new, strict=True):
            one[: len(other)].copy_(other)
