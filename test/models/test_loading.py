# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders that are wrong: one sentence instead of a model of random numbers."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from depthlm_ros.checkpoints import PUBLISHED
from depthlm_ros.errors import CheckpointError, InputError
from depthlm_ros.models import loading
from depthlm_ros.models.chat import Chat


def edit(path, **entries):
    """Change entries of a JSON file."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **entries}))


def refusal(checkpoint, load=loading.load_parts):
    """The one sentence with which a checkpoint is refused."""
    with pytest.raises(CheckpointError) as caught:
        load(checkpoint)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_of_a_model_that_the_hub_does_not_give_it_is_told_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    known = PUBLISHED["facebook/VLM3-depth"]
    absent = replace(known, model="depthlm_ros/is-nowhere")
    assert "`hf auth login`" in refusal(absent)
    assert "hf download depthlm_ros/is-nowhere --local-dir" in refusal(absent)
    (tmp_path / "config.json").write_text("{}")
    here = replace(known, model=str(tmp_path))
    assert "hf " not in refusal(here, lambda found: loading.load_parts(found, weights=False))


@pytest.mark.parametrize("architecture", ["qwen3_vl", "qwen2_5_vl", "llava"])
def test_a_complete_folder_loads_in_float32_on_a_cpu(engines, architecture):
    loaded = engines("local", architecture).loaded
    assert loaded.model.dtype == torch.float32
    assert loaded.config.model_type == architecture
    assert len(set(loaded.symbol_ids)) == 11
    assert (loaded.point_id is None) == (architecture == "llava")


def test_stored_precision_does_not_decide(copy_of):
    folder, checkpoint = copy_of("qwen3_vl")
    model = loading.load(checkpoint).model.to(torch.bfloat16)
    model.save_pretrained(folder)
    assert loading.load(checkpoint, "cpu").model.dtype == torch.float32
    assert loading.load(checkpoint, "cpu", "bfloat16").model.dtype == torch.bfloat16


def test_another_architecture_is_refused_by_name(checkpoints):
    wrong = replace(checkpoints("qwen3_vl"), architecture="llava")
    assert re.search("'qwen3_vl'.*'llava'", refusal(wrong))


def test_an_unknown_architecture_is_refused_with_the_supported_ones(copy_of):
    folder, checkpoint = copy_of("qwen3_vl")
    edit(folder / "config.json", model_type="qwen2_vl")
    said = refusal(replace(checkpoint, architecture="qwen2_vl"))
    assert "qwen2_5_vl, qwen3_vl, llava" in said


def test_a_config_that_is_no_config_is_refused(copy_of):
    folder, checkpoint = copy_of("qwen3_vl")
    (folder / "config.json").write_text("{}")
    assert str(folder) in refusal(checkpoint)


def test_missing_weights_are_refused_and_not_made_up(copy_of):
    from safetensors.torch import load_file, save_file

    folder, checkpoint = copy_of("qwen3_vl")
    weights = load_file(folder / "model.safetensors")
    del weights["model.language_model.norm.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    said = refusal(checkpoint, loading.load)
    assert re.search(r"\b1\b.*language_model\.norm\.weight", said)


def test_weights_of_another_shape_are_refused(copy_of):
    folder, checkpoint = copy_of("qwen3_vl")
    config = json.loads((folder / "config.json").read_text())
    before = config["text_config"]["intermediate_size"]
    config["text_config"]["intermediate_size"] = 80
    (folder / "config.json").write_text(json.dumps(config))
    said = refusal(checkpoint, loading.load)
    assert str(folder) in said
    assert re.search(
        rf"layers\.0\.mlp\.down_proj\.weight .*\b{before} instead of \d+ x 80\b", said
    )


def test_a_half_written_folder_is_refused(copy_of):
    folder, checkpoint = copy_of("qwen3_vl")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "model.safetensors" in refusal(checkpoint)


@pytest.mark.parametrize("architecture", ["qwen3_vl", "llava"])
def test_a_missing_tokenizer_is_refused(copy_of, architecture):
    folder, checkpoint = copy_of(architecture)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    assert "tokenizer" in refusal(checkpoint)


def test_a_tokenizer_of_a_larger_model_is_refused(copy_of):
    folder, checkpoint = copy_of("qwen3_vl")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] = 300
    (folder / "config.json").write_text(json.dumps(config))
    assert re.search(r"\b455\b.*\b300\b", refusal(checkpoint))


def test_a_missing_chat_template_is_refused(copy_of):
    folder, checkpoint = copy_of("qwen3_vl")
    (folder / "chat_template.jinja").unlink()
    assert "chat_template" in refusal(checkpoint)


def test_a_missing_image_processor_is_refused(copy_of):
    folder, checkpoint = copy_of("qwen3_vl")
    (folder / "preprocessor_config.json").unlink()
    assert str(folder) in refusal(checkpoint)


def test_another_models_patches_are_refused(copy_of):
    folder, checkpoint = copy_of("qwen2_5_vl")
    edit(folder / "preprocessor_config.json", patch_size=16)
    named = r"patch_size.*\b16\b.*preprocessor_config\.json.*\b14\b"
    assert re.search(named, refusal(checkpoint))


@pytest.mark.parametrize("architecture", ["qwen3_vl", "llava"])
def test_images_that_would_be_rescaled_twice_are_refused(copy_of, architecture):
    folder, checkpoint = copy_of(architecture)
    edit(folder / "preprocessor_config.json", rescale_factor=1 / 255**2)
    assert "1/255" in refusal(checkpoint)


@pytest.mark.parametrize("architecture", ["qwen3_vl", "llava"])
def test_images_are_not_rescaled_where_the_checkpoint_says_so(copy_of, architecture):
    """The released DepthLM training gives 0-255 straight to the normalisation."""
    folder, checkpoint = copy_of(architecture)
    edit(folder / "preprocessor_config.json", do_rescale=False)
    white = np.full((64, 64, 3), 255, np.uint8)
    values = loading.load_parts(checkpoint).vision.prepare([white]).tensors["pixel_values"]
    assert values.max() == pytest.approx((255 - 0.4578275) / 0.26130258, rel=1e-3)


def test_digits_that_a_tokenizer_joins_are_refused(checkpoints):
    tokenizer = loading.load_parts(checkpoints("qwen3_vl")).tokenizer
    tokenizer.add_tokens(["2.3"])
    with pytest.raises(CheckpointError):
        Chat(tokenizer).symbol_ids("How far?", "")


def test_the_system_prompt_stands_first(checkpoints):
    tokenizer = loading.load_parts(checkpoints("qwen3_vl")).tokenizer
    text = tokenizer.decode(Chat(tokenizer, "You measure.").ids("How far?"))
    assert text.startswith("<|im_start|>system\nYou measure.<|im_end|>\n<|im_start|>user\n")
    assert "<|image_pad|><|vision_end|>How far?<|im_end|>\n<|im_start|>assistant\n" in text


def test_a_gpu_that_torch_cannot_see_is_one_clear_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=re.escape(torch.__version__)):
        loading.find_device("cuda")
    monkeypatch.setattr(loading, "_driver", lambda: "570.86.10")
    with pytest.raises(InputError, match=r"570\.86\.10.*'cpu'"):
        loading.find_device("cuda")


def test_auto_goes_on_with_the_cpu_and_says_why_where_a_driver_is(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(loading, "_driver", lambda: "570.86.10")
    assert loading.find_device("auto") == torch.device("cpu")
    assert "570.86.10" in caplog.text


@pytest.fixture
def gpus(monkeypatch):
    """gpus(count, error): torch sees so many, and each computes or raises the error."""

    def seen(count, error=None):
        def ones(size, device):
            if error:
                raise RuntimeError(error)
            return torch.full((size,), 1.0)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch, "ones", ones)

    return seen


def test_a_gpu_is_named_by_its_number(gpus):
    gpus(2)
    assert loading.find_device("auto") == torch.device("cuda")
    assert loading.find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(InputError, match=r"cuda:2\b.*\b2 GPU"):
        loading.find_device("cuda:2")


NO_KERNEL = "CUDA error: no kernel image is available for execution on the device"


def test_a_gpu_for_which_torch_has_no_kernels_is_refused_with_the_reason(gpus):
    gpus(1, f"{NO_KERNEL}\nCompile with `TORCH_USE_CUDA_DSA`")
    with pytest.raises(InputError, match=rf"cuda: {NO_KERNEL}.*'cpu'"):
        loading.find_device("cuda")


def test_auto_goes_on_with_the_cpu_where_the_gpu_cannot_compute(gpus, caplog):
    gpus(1, NO_KERNEL)
    assert loading.find_device("auto") == torch.device("cpu")
    assert NO_KERNEL in caplog.text


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16)]
)
def test_auto_is_bfloat16_where_the_gpu_computes_with_it(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert loading.find_dtype("auto", torch.device("cuda")) == dtype
    assert loading.find_dtype("float16", torch.device("cuda")) == torch.float16


@pytest.mark.parametrize(
    ("options", "said"),
    [(("tpu",), "device"), (("cuda:x",), "device"), (("cpu", "int8"), "dtype")],
)
def test_unknown_devices_and_dtypes_are_refused(checkpoints, options, said):
    with pytest.raises(InputError, match=rf"\b{said}\b.*\bauto\b"):
        loading.load(checkpoints("qwen3_vl"), *options)
