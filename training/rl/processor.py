# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The processor that trl insists on, for Qwen-VL models without torchvision.

The stock ones need torchvision, and may resize a view a second time; this one hands images to
the checkpoint's own image processor and nothing more. It is never saved: a folder that names a
private processor class loads as a bare tokenizer.
"""

from typing import ClassVar

from transformers import ProcessorMixin


class ViewProcessor(ProcessorMixin):
    """Image processor and tokenizer of a Qwen-VL checkpoint."""

    return_mm_token_type_ids = True
    text_kwargs: ClassVar = {"return_token_type_ids": False}

    def __init__(self, image_processor, tokenizer):
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        super().__init__(image_processor, tokenizer, chat_template=tokenizer.chat_template)

    @classmethod
    def get_attributes(cls) -> list:
        """No video processor."""
        return ["image_processor", "tokenizer"]

    def replace_image_token(self, image_inputs, image_idx, **_) -> str:
        """As many tokens as the image has merged patches."""
        patches = int(image_inputs["image_grid_thw"][image_idx].prod())
        return self.image_token * (patches // self.image_processor.merge_size**2)

    def save_pretrained(self, save_directory, **_):
        """Nothing: the checkpoint's own files are copied instead."""
