# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The heads: DepthVLM's to the last digit, by a second statement of them; ours by its promises."""

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F

from depthlm_ros.bench.configs import config_of
from depthlm_ros.bench.shapes import SIZES
from depthlm_ros.bench.words import tokenizer_of
from depthlm_ros.checkpoints import PUBLISHED
from depthlm_ros.dense.head import DepthMap, HeadSpec, Tap, _blended, make_head
from depthlm_ros.errors import CheckpointError, InputError
from depthlm_ros.models.weights import empty_model

DEPTHVLM = PUBLISHED["JonnyYu828/DepthVLM-4B"].head
FOUR = DEPTHVLM.taps
SMALL_DPT = {"type": "dpt", "taps": FOUR, "widths": (8, 12, 16, 16, 8), "output": "metres"}
ENCODER = HeadSpec("encoder", (Tap("text", -1),), (12, 10, 8, 6), uncertainty=True)
LIGHT = HeadSpec("light", (Tap("vision", 0), Tap("text", -1)), (8, 6, 4), uncertainty=True)


def random_head(spec, widths, seed=0):
    """A head whose every weight is decided, biases too."""
    torch.manual_seed(seed)
    head = make_head(spec, widths)
    with torch.no_grad():
        for weight in head.parameters():
            weight.normal_(0, 0.3)
    return head


def published_names(width):
    """Names and shapes of the released weights, as their files list them."""
    levels = (256, 512, 1024, 1024)
    names = {"norm.weight": (width,), "norm.bias": (width,)}
    for i, level in enumerate(levels):
        names[f"projects.{i}.weight"] = (level, width, 1, 1)
        names[f"projects.{i}.bias"] = (level,)
        names[f"scratch.layer{i + 1}_rn.weight"] = (256, level, 3, 3)
    for i, (level, factor) in enumerate(zip(levels, (8, 4, 2))):
        names[f"resize_layers.{i}.weight"] = (level, level, factor, factor)
        names[f"resize_layers.{i}.bias"] = (level,)
    for i in (1, 2, 3, 4):
        block = f"scratch.refinenet{i}"
        names[f"{block}.out_conv.weight"] = (256, 256, 1, 1)
        names[f"{block}.out_conv.bias"] = (256,)
        for unit in (1, 2) if i < 4 else (2,):
            for conv in (1, 2):
                names[f"{block}.resConfUnit{unit}.conv{conv}.weight"] = (256, 256, 3, 3)
                names[f"{block}.resConfUnit{unit}.conv{conv}.bias"] = (256,)
    names |= {"scratch.output_conv1.weight": (128, 256, 3, 3), "scratch.output_conv1.bias": (128,)}
    names |= {
        "scratch.output_conv2.0.weight": (32, 128, 3, 3),
        "scratch.output_conv2.0.bias": (32,),
    }
    return names | {
        "scratch.output_conv2.2.weight": (1, 32, 1, 1),
        "scratch.output_conv2.2.bias": (1,),
    }


@pytest.mark.parametrize(("width", "count"), [(2560, 35_145_921), (4096, 39_474_369)])
def test_dpt_has_the_published_names_and_shapes(width, count):
    with torch.device("meta"):
        head = make_head(DEPTHVLM, [width] * 4)
    found = {name: tuple(weight.shape) for name, weight in head.state_dict().items()}
    assert found == published_names(width)
    assert sum(weight.numel() for weight in head.parameters()) == count


def test_model_and_head_have_the_published_number_of_parameters():
    """4,861,917,889 as counted by those who trained it, with the output layer apart."""
    config = config_of(SIZES["qwen3-vl-4b"], tokenizer_of("qwen"))
    model = empty_model(config, "meta", torch.bfloat16)
    with torch.device("meta"):
        head = make_head(DEPTHVLM, [2560] * 4)
    assert sum(w.numel() for m in (model, head) for w in m.parameters()) == 4_861_917_889


def dpt_again(w, features, size):
    """The published head once more: plain functions over the weights by name, tokens first, with
    rectifiers that really work in place."""

    def conv(name, x, padding=0):
        return F.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), padding=padding)

    def residual(name, x):
        out = F.relu(x, inplace=True)
        out = conv(f"{name}.conv1", out, 1)
        out = F.relu(out, inplace=True)
        return conv(f"{name}.conv2", out, 1) + x

    def fuse(number, deep, skip, to):
        block = f"scratch.refinenet{number}"
        if skip is not None:
            deep = deep + residual(f"{block}.resConfUnit1", skip)
        deep = residual(f"{block}.resConfUnit2", deep)
        deep = F.interpolate(deep, size=to, mode="bilinear", align_corners=True)
        return conv(f"{block}.out_conv", deep)

    levels = []
    for i, x in enumerate(features):
        count, width, rows, columns = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        tokens = F.layer_norm(tokens, (width,), w["norm.weight"], w["norm.bias"])
        x = conv(f"projects.{i}", tokens.permute(0, 2, 1).reshape(count, width, rows, columns))
        if i < 3:
            weight, bias = w[f"resize_layers.{i}.weight"], w[f"resize_layers.{i}.bias"]
            x = F.conv_transpose2d(x, weight, bias, stride=weight.shape[-1])
        levels.append(conv(f"scratch.layer{i + 1}_rn", x, 1))
    out = fuse(4, levels[3], None, levels[2].shape[2:])
    out = fuse(3, out, levels[2], levels[1].shape[2:])
    out = fuse(2, out, levels[1], levels[0].shape[2:])
    out = fuse(1, out, levels[0], [2 * side for side in levels[0].shape[2:]])
    out = conv("scratch.output_conv1", out, 1)
    out = F.interpolate(out, size=size, mode="bilinear", align_corners=True)
    out = F.relu(conv("scratch.output_conv2.0", out, 1))
    return F.softplus(conv("scratch.output_conv2.2", out))[:, 0]


def test_dpt_equals_a_second_statement_of_the_published_head():
    head = random_head(HeadSpec(**SMALL_DPT, align_corners=True), [10] * 4)
    features = [torch.randn(2, 10, 3, 4) for _ in range(4)]
    weights = dict(head.state_dict())
    for size in ((96, 128), (90, 131)):
        expected = dpt_again(weights, features, size)
        found = head(features, None, size)
        assert not found.is_log and found.log_scale is None
        assert torch.allclose(found.metres, expected, rtol=1e-5, atol=1e-5)
        assert expected.std() > 0.05


def test_where_rectifiers_do_not_work_in_place_the_map_is_another():
    """What the second statement above would not notice if both forgot it."""
    head = random_head(HeadSpec(**SMALL_DPT, align_corners=True), [10] * 4)
    unit = head.scratch.refinenet4.resConfUnit2
    x = torch.randn(1, 8, 3, 4)
    plain = unit.conv2(F.relu(unit.conv1(F.relu(x))))
    assert torch.allclose(unit(x), plain + F.relu(x), atol=1e-6)
    assert not torch.allclose(unit(x), plain + x, atol=1e-3)


@pytest.mark.parametrize("join", ["concat", "sum"])
def test_mlp_equals_a_second_statement_of_the_published_head(join):
    spec = HeadSpec("mlp", FOUR, (7,), "metres", join=join, cell=4, align_corners=True)
    head = random_head(spec, [6] * 4)
    w = head.state_dict()
    assert {n: tuple(t.shape) for n, t in w.items() if n.startswith("mlp")} == {
        "mlp.0.weight": (7, 24 if join == "concat" else 6),
        "mlp.0.bias": (7,),
        "mlp.2.weight": (16, 7),
        "mlp.2.bias": (16,),
    }
    features = [torch.randn(2, 6, 3, 5) for _ in range(4)]
    tokens = [x.flatten(2).transpose(1, 2) for x in features]  # (B, N, C)
    x = torch.cat(tokens, -1) if join == "concat" else sum(tokens)
    x = F.layer_norm(x, (x.shape[-1],), w["norm.weight"], w["norm.bias"])
    x = F.gelu(x @ w["mlp.0.weight"].T + w["mlp.0.bias"]) @ w["mlp.2.weight"].T + w["mlp.2.bias"]
    grid = x.view(2, 3, 5, 4, 4).permute(0, 1, 3, 2, 4).reshape(2, 12, 20)
    assert torch.allclose(head(features, None, (12, 20)).metres, F.softplus(grid), atol=1e-5)
    larger = F.interpolate(grid[:, None], size=(17, 30), mode="bilinear", align_corners=True)
    found = head(features, None, (17, 30)).metres
    assert torch.allclose(found, F.softplus(larger[:, 0]), atol=1e-5)


def test_a_head_stays_in_float32_beside_a_model_of_16_bit():
    head = random_head(LIGHT, [5, 7])
    features = [torch.randn(1, 5, 4, 6), torch.randn(1, 7, 2, 3)]
    rounded = [one.bfloat16() for one in features]
    image = torch.rand(1, 3, 32, 48)
    expected = head([one.float() for one in rounded], image, (32, 48))
    with torch.autocast("cpu", torch.bfloat16):
        found = head(rounded, image, (32, 48))
    assert found.value.dtype == found.log_scale.dtype == torch.float32
    assert torch.equal(found.value, expected.value)


@pytest.mark.parametrize("upsampling", ["convex", "bilinear"])
def test_light_learns_from_every_tap_and_from_the_image(upsampling):
    spec = HeadSpec("light", LIGHT.taps, LIGHT.widths, upsampling=upsampling, uncertainty=True)
    head = random_head(spec, [5, 7])
    features = [torch.randn(1, 5, 4, 6), torch.randn(1, 7, 2, 3)]
    given = [one.requires_grad_() for one in (*features, torch.rand(1, 3, 64, 96))]
    found = head(given[:2], given[2], (64, 96))
    assert found.value.shape == found.log_scale.shape == (1, 64, 96)
    (found.log_m.sum() + found.log_scale.sum()).backward()
    assert all(one.grad.abs().max() > 0 for one in given)
    assert all(weight.grad is not None for weight in head.parameters())


def test_an_untrained_light_head_says_a_plausible_distance_everywhere():
    torch.manual_seed(0)
    head = make_head(LIGHT, [5, 7])
    features = [torch.randn(1, 5, 4, 6), torch.randn(1, 7, 2, 3)]
    metres = head(features, torch.rand(1, 3, 64, 96), (64, 96)).metres
    assert torch.allclose(metres, torch.tensor(2.46), atol=0.01)


def test_light_refuses_to_go_without_the_image_that_it_looks_at():
    head = make_head(LIGHT, [5, 7])
    features = [torch.randn(1, 5, 4, 6), torch.randn(1, 7, 2, 3)]
    with pytest.raises(InputError):
        head(features, None, (64, 96))
    blind = make_head(HeadSpec("light", LIGHT.taps, LIGHT.widths, colours=False), [5, 7])
    assert blind(features, None, (64, 96)).value.shape == (1, 64, 96)


def test_the_light_head_for_the_embedded_model_is_light():
    taps = (*(Tap("vision", layer) for layer in (2, 5, 7)), Tap("text", -1))
    head = make_head(HeadSpec("light", taps, (48, 32, 24), uncertainty=True), [160] * 4)
    assert 150_000 < sum(weight.numel() for weight in head.parameters()) < 400_000


def test_an_encoder_head_learns_from_the_model_and_from_the_image():
    head = random_head(ENCODER, [7])
    features, image = torch.randn(2, 7, 2, 3), torch.rand(2, 3, 64, 96)
    for one in (features, image):
        one.requires_grad_()
    found = head([features], image, (64, 96))
    assert found.value.shape == found.log_scale.shape == (2, 64, 96) and found.is_log
    found.value.sum().backward()
    assert features.grad.abs().sum() > 0
    assert (image.grad.abs().sum(1) > 0).float().mean() > 0.9


def test_an_encoder_head_trusts_the_model_as_far_as_the_image_tells_it_to():
    head = random_head(ENCODER, [7])
    image, size = torch.rand(2, 3, 64, 96), (64, 96)
    states = [torch.randn(2, 7, 2, 3) for _ in range(2)]

    def difference(image):
        """Of each map, between two states of the model."""
        with torch.no_grad():
            first, second = (head([one], image, size).value for one in states)
        return (first - second).abs().mean((1, 2))

    with torch.no_grad():
        head.trust.weight.zero_()
        head.trust.bias.fill_(30.0)
    trusted = difference(image)
    with torch.no_grad():  # that of the second image not at all
        seen = head.encoder(image)[32].mean((2, 3))
        apart = seen[0] - seen[1]
        head.trust.weight.copy_(60 * apart / apart.square().sum())
        head.trust.bias.fill_((-head.trust.weight @ seen.mean(0)).item())
    found = difference(image)
    assert trusted.min() > 1e-3 and torch.allclose(found[0], trusted[0], rtol=1e-3)
    assert found[1] < 1e-6


def test_an_untrained_encoder_head_says_a_plausible_distance_everywhere():
    found = make_head(ENCODER, [7])([torch.randn(1, 7, 2, 3)], torch.rand(1, 3, 64, 96), (64, 96))
    assert torch.allclose(found.metres, torch.tensor(2.46), atol=0.01)


@pytest.mark.parametrize("size", [(64, 96), (56, 84), (32, 32), (70, 45)])
def test_an_encoder_head_takes_every_size(size):
    found = random_head(ENCODER, [7])([torch.randn(1, 7, 2, 3)], torch.rand(1, 3, *size), size)
    assert found.value.shape[1:] == size and found.value.isfinite().all()


def test_an_encoder_head_refuses_to_go_without_the_image():
    with pytest.raises(InputError):
        make_head(ENCODER, [7])([torch.randn(1, 7, 2, 3)], None, (64, 96))


def test_blending_puts_each_neighbour_where_it_lies():
    coarse = torch.arange(12.0).view(1, 1, 3, 4)
    weights = torch.full((1, 9, 4, 4, 3, 4), -1e4)
    weights[:, 4] = 0  # the cell itself
    weights[:, 4, 0, 3], weights[:, 2, 0, 3] = -1e4, 0  # its top right corner: up and right
    fine = _blended(coarse, weights.view(1, 144, 3, 4))[0, 0].view(3, 4, 4, 4)
    assert torch.equal(fine[1, 1, :, 1], torch.tensor([4.0, 5, 6, 7]))
    assert torch.equal(fine[1, 0, :, 3], torch.tensor([1.0, 2, 3, 3]))  # the border is replicated
    assert torch.equal(fine[2, 3, :, 0], torch.tensor([8.0, 9, 10, 11]))


def test_logarithms_and_metres_are_one_map():
    depth_map = DepthMap(torch.tensor([[[0.0, 1.0]]]), None, is_log=True)
    assert torch.allclose(depth_map.metres, torch.tensor([1.0, 2.7182817]))
    linear = DepthMap(depth_map.metres, None, is_log=False)
    assert torch.allclose(linear.log_m, depth_map.log_m, atol=1e-6)
    assert depth_map.resized((1, 2)) is depth_map
    assert depth_map.resized((1, 4)).value[0, 0].tolist() == [0.0, 0.25, 0.75, 1.0]  # half pixels


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "vit"},
        {"taps": FOUR[:3]},
        {"widths": (8, 8)},
        {"widths": (8, 8, 8, 8, 0)},
        {"output": "inverse"},
        {"kind": "depth"},
        {"taps": (*FOUR[:3], Tap("text", -2))},
        {"taps": (*FOUR[:3], {"source": "mask", "layer": 0})},
        {"taps": (*FOUR[:3], {"source": "text", "level": 0})},
        {"type": "light", "widths": (8, 8, 8)},
    ],
)
def test_a_spec_that_cannot_be_is_refused(wrong):
    with pytest.raises(CheckpointError):
        HeadSpec(**{**SMALL_DPT, **wrong})


def test_a_head_that_does_not_fit_its_maps_is_refused():
    with pytest.raises(CheckpointError):
        make_head(HeadSpec(**SMALL_DPT), [10, 10, 10, 12])
    with pytest.raises(CheckpointError):
        make_head(HeadSpec(**SMALL_DPT), [10] * 3)
