# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A Size as the configuration and the image processor that transformers wants for it.

Knows nothing about weights.
"""


def _text(size, tokenizer, **more) -> dict:
    text = size.text
    return {
        "hidden_size": text.width,
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.heads,
        "num_key_value_heads": text.kv_heads,
        "intermediate_size": text.mlp,
        "vocab_size": text.vocabulary,
        "max_position_embeddings": 32_768,
        "tie_word_embeddings": False,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.eos_token_id,
        **more,
    }


def _vision(size, **more) -> dict:
    return {"hidden_size": size.vision.width, "intermediate_size": size.vision.mlp, **more}


def _qwen_vision(size, **more) -> dict:
    vision, out = size.vision, size.text.width
    return _vision(size, depth=vision.layers, num_heads=vision.heads, out_hidden_size=out, **more)


def _qwen_ids(tokenizer) -> dict:
    names = {"image_token_id": "image_pad", "video_token_id": "video_pad"}
    names |= {"vision_start_token_id": "vision_start", "vision_end_token_id": "vision_end"}
    return {k: tokenizer.convert_tokens_to_ids(f"<|{v}|>") for k, v in names.items()}


def _sections(half, temporal) -> list:
    """How many of the `half` rotary frequencies each axis has: temporal, height, width."""
    rest = half - temporal
    return [temporal, rest - rest // 2, rest // 2]


def _qwen2_5_vl(size, tokenizer):
    from transformers import Qwen2_5_VLConfig

    half = size.text.head // 2
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": _sections(half, half // 4)}
    vision = _qwen_vision(size, fullatt_block_indexes=list(size.vision.special), window_size=112)
    return Qwen2_5_VLConfig(
        text_config=_text(size, tokenizer, rope_parameters=rope),
        vision_config={**vision, "patch_size": 14, "spatial_merge_size": 2},
        tie_word_embeddings=False,
        **_qwen_ids(tokenizer),
    )


def _qwen3_vl(size, tokenizer):
    from transformers import Qwen3VLConfig

    head = size.text.head
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_interleaved": True}
    rope["mrope_section"] = _sections(head // 2, head // 2 - 2 * (head * 5 // 32))
    vision = _qwen_vision(size, deepstack_visual_indexes=list(size.vision.special))
    return Qwen3VLConfig(
        text_config=_text(size, tokenizer, head_dim=head, rope_parameters=rope),
        vision_config={**vision, "patch_size": 16, "spatial_merge_size": 2},
        tie_word_embeddings=False,
        **_qwen_ids(tokenizer),
    )


def _llava(size, tokenizer):
    from transformers import LlavaConfig

    layers, heads, head = size.vision.layers, size.vision.heads, size.text.head
    vision = _vision(size, num_hidden_layers=layers, num_attention_heads=heads)
    text = _text(size, tokenizer, model_type="mistral", head_dim=head, sliding_window=None)
    return LlavaConfig(
        vision_config={**vision, "model_type": "pixtral", "image_size": 1024, "patch_size": 16},
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )


CONFIGS = {"qwen2_5_vl": _qwen2_5_vl, "qwen3_vl": _qwen3_vl, "llava": _llava}


def config_of(size, tokenizer):
    """The configuration; the tokenizer names the special tokens."""
    return CONFIGS[size.architecture](size, tokenizer)


def processor_of(size):
    """The image processor; bounds so wide that no view of ours is resized a second time."""
    if size.architecture == "llava":  # as DepthLM was trained
        from transformers import PixtralImageProcessorPil

        return PixtralImageProcessorPil(do_resize=False, do_rescale=False)
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    return Qwen2VLImageProcessorPil(
        patch_size=14 if size.architecture == "qwen2_5_vl" else 16,
        merge_size=2,
        size={"shortest_edge": 1024, "longest_edge": 16_777_216},
    )
