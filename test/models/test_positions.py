# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The rotary positions of prompts, questions and padded batches."""

import pytest

torch = pytest.importorskip("torch")

from depthlm_ros.errors import InputError
from depthlm_ros.models.positions import batch_positions, prompt_positions, question_positions

IMAGE, POINT = 9, 7


def test_words_advance_all_axes_and_an_image_advances_by_its_longer_side():
    ids = torch.tensor([5, 6] + [IMAGE] * 6 + [2, 3])
    placed = prompt_positions(ids, IMAGE, [(1, 4, 6)], 2)
    assert placed.positions.tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5, 6],
        [0, 1, 2, 2, 2, 3, 3, 3, 5, 6],
        [0, 1, 2, 3, 4, 2, 3, 4, 5, 6],
    ]
    assert (placed.image_start, placed.end) == (2, 7)


def test_two_images_follow_each_other_also_without_a_word_between():
    ids = torch.tensor([IMAGE] * 6 + [IMAGE] * 2 + [2])
    placed = prompt_positions(ids, IMAGE, [(1, 4, 6), (1, 4, 2)], 2)
    assert placed.positions[1].tolist() == [0, 0, 0, 1, 1, 1, 3, 4, 5]
    assert (placed.image_start, placed.end) == (3, 6)


def test_the_pointing_token_takes_a_fractional_place_and_its_own_time():
    ids = torch.tensor([[2, POINT, 4], [3, POINT, 4]])
    got = question_positions(
        torch.tensor([7, 9]), ids, POINT, torch.tensor([2, 4]), [(0.25, 1.5), (3, -0.5)]
    )
    assert got.dtype == torch.float32
    assert got[0].tolist() == [[7, 8, 9], [9, 10, 11]]
    assert got[1].tolist() == [[7, 2.25, 9], [9, 7, 11]]
    assert got[2].tolist() == [[7, 3.5, 9], [9, 3.5, 11]]


@pytest.mark.parametrize("left", [True, False])
def test_a_padded_batch_equals_the_rule_of_transformers(left):
    """get_rope_index is what the model itself would compute from mm_token_type_ids."""
    qwen = pytest.importorskip("transformers.models.qwen3_vl.modeling_qwen3_vl").Qwen3VLModel
    short, long = [5, 6] + [IMAGE] * 6 + [2], [5] + [IMAGE] * 6 + [2, 3, 4, 2]
    pad = [0] * (len(long) - len(short))
    ids = torch.tensor([pad + short if left else short + pad, long])
    mask = (ids > 0).long()
    grids = torch.tensor([[1, 4, 6], [1, 6, 4]])
    with torch.device("meta"):
        model = qwen.__new__(qwen)
        torch.nn.Module.__init__(model)
    model.config = _Merge()
    kinds = (ids == IMAGE).int()
    expected, _ = model.get_rope_index(ids, kinds, image_grid_thw=grids, attention_mask=mask)
    assert torch.equal(batch_positions(ids, IMAGE, grids, 2, mask=mask), expected.float())


class _Merge:
    spatial_merge_size = 2

    @property
    def vision_config(self):
        return self


def test_a_batch_points_from_the_start_of_each_rows_own_image():
    ids = torch.tensor([[0, 5] + [IMAGE] * 4 + [POINT], [5, 5] + [IMAGE] * 4 + [POINT]])
    grids = torch.tensor([[1, 4, 4], [1, 4, 4]])
    got = batch_positions(ids, IMAGE, grids, 2, POINT, [(0.5, 1), (1, 0.25)], ids > 0)
    assert got[:, :, -1].tolist() == [[3, 4], [1.5, 3], [2, 2.25]]


@pytest.mark.parametrize("grids", [[], [(1, 4, 4)], [(1, 4, 6), (1, 2, 2)]])
def test_grids_that_do_not_fit_the_image_tokens_are_refused(grids):
    with pytest.raises(InputError, match=r"\b6 "):
        prompt_positions(torch.tensor([1] + [IMAGE] * 6 + [2]), IMAGE, grids, 2)


def test_a_video_grid_is_refused():
    with pytest.raises(InputError, match=r"\b2\b"):
        prompt_positions(torch.tensor([IMAGE] * 2), IMAGE, [(2, 2, 2)], 2)
