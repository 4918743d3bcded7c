# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""One batch: views with questions about them, and the losses of training.model on them.

Knows nothing about optimizers, clocks or files.
"""

from math import log

import torch
from torch.nn import functional as F

from depthlm_ros.evaluation.metrics import DELTA1_RATIO
from depthlm_ros.models.tower import Tower
from training.data.collate import CELLS, question_mask
from training.fast.network import states, views_of
from training.fast.pool import another_look, cut, patches
from training.fast.recipe import Recipe
from training.fast.teacher import Teacher
from training.fast.words import Words

RED = 1.0, 0.0, 0.0


class Lesson:
    """student: a training.model.Student with heads, on its device; parts: its checkpoint's."""

    def __init__(self, student, parts, device, recipe: Recipe):
        self.student, self.parts, self.device, self.recipe = student, parts, device, recipe
        self.words = Words(parts, device)
        self.tower = Tower(student.model.model, parts.vision.merge)
        self.side = parts.vision.patch * parts.vision.merge
        self.marker = parts.checkpoint.asker("marker")
        self._teacher = Teacher(device) if recipe.weights.get("teacher") else None
        self._prefixes = {}

    def views(self, pool, count, size, rng):
        """`count` views of a size out of the pool, to learn from."""
        candidates = pool.draw(3 * count, self.recipe.sources, rng)
        focal_px = self.parts.checkpoint.focal_px
        views = cut(pool, candidates, count, size, focal_px, self.side, self.recipe)
        views.images = another_look(views.images, self.recipe)
        return views

    def plain_views(self, pool, count, size, source, rng):
        """`count` views of a size out of a source, as they are, to measure on."""
        candidates = pool.draw(3 * count, {source: 1.0}, rng)
        return cut(pool, candidates, count, size, self.parts.checkpoint.focal_px, self.side, None)

    def losses(self, views, asked) -> dict:
        """{"loss", "text", "dense", "locate", "teacher", "delta1"} of one question each in the
        styles `asked`; delta1: of the dense head."""
        height, width = views.size
        grid = height // self.side, width // self.side
        prefix, placed, first = self._prefix(grid)
        images, count = views.images, len(views.rows)
        slots, shares = [], []
        for style in asked:
            pixels = self._pixels(style, count, views.size)
            log_m = views.log_metres(pixels[:, :1].float(), pixels[:, 1:].float())[:, 0]
            if style == "marker":
                images = self._marked(images, pixels)
            metres = log_m.exp().nan_to_num(1.0)
            slots.append(
                (pixels, self.words.slot(style, pixels, views.size, metres, placed, grid))
            )
            shares.append(log_m.isfinite().float() / max(len(asked), 1) / count)
        values = patches(images, self.parts.vision.patch, self.parts.vision.merge)
        ids, positions, mask, starts = self._joined(prefix, placed, [s for _, s in slots], count)
        shown = views_of(values, views.size, grid, self.parts.vision.merge)
        found, middle = states(self.student.model, self.tower, shown, ids, positions, mask, first)
        tokens = slice(first, first + grid[0] * grid[1])
        parts = {}
        parts["dense"], parts["delta1"] = self._dense(found[:, tokens], views, grid)
        if self._teacher:
            parts["teacher"] = self._alike(found[:, tokens], views.images, grid)
        if asked:
            parts["text"] = self._text(found, ids, slots, starts, shares)
            parts["locate"] = self._locate(
                middle, tokens, slots, starts, shares, asked, views, grid
            )
        weights = self.recipe.weights
        parts["loss"] = sum(weights[n] * v for n, v in parts.items() if n in weights)
        return parts

    def _prefix(self, grid):
        if grid not in self._prefixes:
            self._prefixes[grid] = self.words.prefix(grid)
        return self._prefixes[grid]

    def _pixels(self, style, count, size):
        """(count, 2) whole (u, v) that can be asked."""
        height, width = size
        margin = self.marker.margin if style == "marker" else 0
        shares = torch.rand((count, 2), device=self.device)
        room = torch.tensor([width - 2 * margin, height - 2 * margin], device=self.device)
        return (margin + shares * room).long()

    def _marked(self, images, pixels):
        """With each row's arrow."""
        offsets = torch.as_tensor(self.marker.painted((0, 0)), device=self.device)
        places = pixels[:, None] + offsets
        images = images.clone()
        rows = torch.arange(len(images), device=self.device)[:, None]
        for channel, level in enumerate(RED):
            images[rows, channel, places[..., 1], places[..., 0]] = level
        return images

    def _joined(self, prefix, placed, slots, count):
        """ids, positions, mask of the prefix and all slots, and where each slot starts."""
        ids = [prefix.expand(count, -1)]
        positions = [placed.positions.to(self.device)[:, None].expand(-1, count, -1)]
        segments = [torch.zeros((count, len(prefix)), device=self.device)]
        starts, at = [], len(prefix)
        for number, slot in enumerate(slots, 1):
            ids.append(slot.ids)
            positions.append(slot.positions)
            segments.append(torch.where(slot.used, float(number), -1.0))
            starts.append(at)
            at += slot.ids.shape[1]
        mask = question_mask(torch.cat(segments, 1))
        return torch.cat(ids, 1), torch.cat(positions, 2), mask, starts

    def _text(self, found, ids, slots, starts, shares):
        """Cross-entropy of the answers' tokens, a row's answers sharing its weight."""
        total = found.new_zeros((), dtype=torch.float32)
        head = self.student.model.get_output_embeddings()
        for (_, slot), start, share in zip(slots, starts, shares):
            columns = slice(start + slot.first_target, start + slot.ids.shape[1])
            before = slice(columns.start - 1, columns.stop - 1)
            logits = head(found[:, before]).float()
            each = F.cross_entropy(logits.transpose(1, 2), ids[:, columns], reduction="none")
            total = total + (each * slot.targets[:, slot.first_target :] * share[:, None]).sum()
        return total

    def _dense(self, seen, views, grid):
        """L1 of log metres at CELLS x CELLS places in each token; the share within 1.25."""
        height, width = views.size
        count, cells = len(seen), (grid[0] * CELLS, grid[1] * CELLS)
        v, u = (
            (torch.arange(n, device=self.device) + 0.5) / n * whole - 0.5
            for n, whole in zip(cells, (height, width))
        )
        u, v = u.repeat(cells[0]), v.repeat_interleave(cells[1])
        log_m = views.log_metres(u.expand(count, -1), v.expand(count, -1))
        log_m = log_m.view(count, grid[0], CELLS, grid[1], CELLS).transpose(2, 3)
        log_m = log_m.reshape(count, grid[0] * grid[1], -1)
        known = log_m.isfinite()
        off = (self.student.heads["dense"](seen.float()) - log_m.nan_to_num()).abs() * known
        each = known.sum((1, 2)).clamp(min=1) * count
        right = ((off < log(DELTA1_RATIO)) & known).sum() / known.sum().clamp(min=1)
        return (off / each[:, None, None]).sum(), right.detach()

    def _alike(self, seen, images, grid):
        """1 - cosine between the teacher's features and what is read from the tokens."""
        told = F.normalize(self.student.heads["teacher"](seen.float()), dim=-1)
        return 1 - (told * self._teacher.features(images, grid)).sum(-1).mean()

    def _locate(self, middle, tokens, slots, starts, shares, asked, views, grid):
        """Cross-entropy over image tokens of the one that a question in words or by an arrow is
        about."""
        heads, width = self.student.heads, middle.shape[-1]
        offers = heads["key"](middle[:, tokens].float())
        rows = torch.arange(len(middle), device=self.device)
        pointing = [i for i, style in enumerate(asked) if style != "position"]
        total = middle.new_zeros((), dtype=torch.float32)
        for i in pointing:
            pixels, slot = slots[i]
            asks = heads["query"](middle[rows, starts[i] + slot.asks].float())
            scores = torch.einsum("bd,bsd->bs", asks, offers) / width**0.5
            places = (
                (pixels.flip(1) + 0.5) / pixels.new_tensor(views.size) * pixels.new_tensor(grid)
            )
            row, column = (places.float() - 0.5).round().long().unbind(1)
            token = row.clamp(0, grid[0] - 1) * grid[1] + column.clamp(0, grid[1] - 1)
            each = F.cross_entropy(scores.float(), token, reduction="none")
            total = total + (each * (shares[i] > 0)).mean() / len(pointing)
        return total
