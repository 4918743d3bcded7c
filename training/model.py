# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The model while it learns: loaded in float32 (or in 16 bit with adapters beside), auxiliary
heads, the loss, and the attention that suits a CPU.

The heads stay beside a run's checkpoints and are not shipped. Dense: log metres from the states
at image tokens, which makes a small model see distance before it learns to talk about it.
Locate: which image token a question points at, which an arrow of a few pixels does not teach
by itself. Adapters are peft's, injected in place, so that classes and names of the model stay
what they are. Optimizers and devices are the trainer's.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from depthlm_ros.engines.progress import silent
from depthlm_ros.errors import DepthLMError, InputError, MissingDependency, first_line
from depthlm_ros.models.compat import quiet
from depthlm_ros.models.linear import linear_patches
from depthlm_ros.models.weights import read_weights
from training.data.collate import CELLS
from training.run.export import read_extras


def load_student(config, parts, base: Path, found: Path | None, arguments) -> "Student":
    """What an SftConfig trains, of its base or of the checkpoint `found` of a run.

    The model is float32; frozen weights beside adapters are bfloat16. arguments: see suit().
    """
    torch.manual_seed(config.seed)  # the heads', whether the base was made now or before
    model = load_model(config, parts, base if config.lora else found or base)
    if config.lora:
        add_adapters(model, config.lora)
    heads = any(s.weights.get(name) for s in config.stages for name in ("dense", "locate"))
    student = Student(model, heads)
    read_extras(student, found or base)
    assert_float32(student)
    suit(student.model, arguments)
    return student


def load_model(config, parts, folder: Path) -> nn.Module:
    """The transformers model of a folder in float32, each weight to be learnt."""
    cpu = torch.device("cpu")
    with quiet():
        model = read_weights(config.entry(folder), parts.config, torch.float32, cpu, silent)
    return model.train().requires_grad_(True)


def assert_float32(student: nn.Module) -> None:
    """At a learning rate of 1e-5 most steps are too small to move a 16-bit weight at all."""
    wrong = [n for n, p in student.named_parameters() if p.requires_grad and p.dtype.itemsize < 4]
    if wrong:
        raise DepthLMError(f"{wrong[0]} learns in 16 bit: weights that learn must be float32")


class Student(nn.Module):
    """model: a Qwen-VL or Llava/Pixtral model. heads: whether it has the auxiliary heads."""

    accepts_loss_kwargs = False  # the batch's own weights make the mean, also when accumulating

    def __init__(self, model: nn.Module, heads: bool = True):
        super().__init__()
        width = model.config.get_text_config().hidden_size
        self.model = model
        self.heads = nn.ModuleDict()
        if heads:
            self.heads["dense"] = nn.Linear(width, CELLS**2)
            self.heads["query"] = nn.Linear(width, width)
            self.heads["key"] = nn.Linear(width, width)
            layers = model.model.language_model.layers
            layers[len(layers) // 2 - 1].register_forward_hook(self._keep_middle)
        linear_patches(model)

    def forward(self, **batch) -> dict:
        """{"loss", "text_loss", ...} of a Collator's batch."""
        states = self.states(batch)
        weights, losses = batch["loss_weights"], {}
        if weights.get("text") and len(batch["targets"]):
            losses["text"] = self._text_loss(states, batch)
        if self.heads:
            at_image = batch["input_ids"] == self.model.config.image_token_id
            if weights.get("dense"):
                losses["dense"] = self._dense_loss(states[at_image], batch)
            if weights.get("locate") and len(batch["locates"]):
                losses["locate"] = self._locate_loss(at_image, batch)
        nothing = states.sum() * 0.0  # a batch may hold no question
        loss = sum((weights[name] * value for name, value in losses.items()), nothing)
        return {"loss": loss, **{f"{n}_loss": v.detach() for n, v in losses.items()}}

    def activation_checkpointing_enable(self, **options) -> None:
        """The model's own, by transformers' name."""
        self.model.activation_checkpointing_enable(**options)

    def states(self, batch: dict) -> torch.Tensor:
        """(B, S, width) hidden states of a Collator's batch."""
        names = ("position_ids", "attention_mask")
        inputs = self._words_and_images(batch) | {name: batch[name] for name in names}
        return self.model.model(**inputs, use_cache=False).last_hidden_state

    def _words_and_images(self, batch) -> dict:
        """As the model's forward takes them."""
        ids, images = batch["input_ids"], batch["images"]
        if "image_grid_thw" in images[0]:
            joined = {name: torch.cat([one[name] for one in images]) for name in images[0]}
            return {"input_ids": ids, **joined}
        # Pixtral: one by one, since it would attend over all images of a batch at once.
        base = self.model.model
        found = [
            base.get_image_features(**one, return_dict=True).pooler_output[0] for one in images
        ]
        words = base.get_input_embeddings()(ids)
        places = (ids == self.model.config.image_token_id).unsqueeze(-1)
        return {"inputs_embeds": words.masked_scatter(places, torch.cat(found).to(words))}

    def _text_loss(self, states, batch):
        """Weighted cross-entropy of the trained tokens; no other logits are computed."""
        which, at, predictor = batch["targets"].T
        logits = self.model.get_output_embeddings()(states[which, predictor])
        each = F.cross_entropy(logits.float(), batch["input_ids"][which, at], reduction="none")
        return (each * batch["target_weight"]).sum()

    def _dense_loss(self, states, batch):
        answer = self.heads["dense"](states.float())
        return ((answer - batch["dense_log_m"]).abs() * batch["dense_weight"]).sum()

    def _locate_loss(self, at_image, batch):
        """Cross-entropy over the image tokens of which one the question is about."""
        which, at, token = batch["locates"].T
        middle = self._middle
        asks, offers = self.heads["query"](middle[which, at]), self.heads["key"](middle)[which]
        scores = torch.einsum("qd,qsd->qs", asks, offers) / middle.shape[-1] ** 0.5
        scores = scores.masked_fill(~at_image[which], float("-inf"))
        where = at_image[which].int().cumsum(1) == token[:, None] + 1
        each = F.cross_entropy(scores.float(), where.int().argmax(1), reduction="none")
        return (each * batch["locate_weight"]).sum()

    def _keep_middle(self, _layer, _inputs, output):
        self._middle = output.float()  # frozen weights may be in bfloat16, the heads never are


# Every matrix of the language model; the vision part stays as it was.
TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


def add_adapters(model: nn.Module, lora) -> None:
    """Freeze the model at bfloat16 and add float32 adapters. lora: a config's Lora."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingDependency("lora needs peft: pip install peft") from error
    model.requires_grad_(False)
    for weight in model.parameters():  # not the buffers: rotary angles need float32 frequencies
        weight.data = weight.data.to(torch.bfloat16)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha or 2 * lora.rank,
        lora_dropout=lora.dropout,
        target_modules=lora.targets or TARGETS,
    )
    try:
        inject_adapter_in_model(config, model)
    except ValueError as error:  # no module has such a name, or adapters know none of its class
        raise InputError(f"lora.targets: {first_line(error)}") from error
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = weight.data.float()


ATTENTION = "two_products"
LONGEST = 1024  # keys: 2 MB of scores a head


def suit(model: nn.Module, arguments) -> None:
    """Let a transformers model attend by two_products where that is faster.

    arguments: TrainingArguments.
    """
    if arguments.device.type == "cpu" and arguments.bf16:
        AttentionInterface.register(ATTENTION, two_products)
        AttentionMaskInterface.register(ATTENTION, sdpa_mask)
        model.set_attn_implementation(ATTENTION)


def two_products(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **more):
    """query (B, heads, Q, D), key and value (B, groups, K, D) -> ((B, Q, heads, D), None).

    torch's own kernel is slow backwards in bfloat16 on a CPU (a step of the tiny model takes 1.3
    to 1.5 times as long) and no more exact. This holds every score at once, so long sequences,
    and whatever else it was not made for, go to torch's.
    attention_mask: (B, 1, Q, K) bool, True where attended to, or numbers to add to the scores.
    """
    open_mask = attention_mask is None and more.get("is_causal") is not False
    if open_mask or dropout or key.shape[2] > LONGEST:
        given = {"attention_mask": attention_mask, "scaling": scaling, "dropout": dropout}
        return sdpa_attention_forward(module, query, key, value, **given, **more)
    groups = query.shape[1] // key.shape[1]
    key, value = (one.repeat_interleave(groups, dim=1) for one in (key, value))
    scores = (query * (scaling or query.shape[-1] ** -0.5)) @ key.transpose(-1, -2)
    if attention_mask is not None:
        scores += _bias(attention_mask, scores.dtype)
    with torch.autocast("cpu", enabled=False):  # sums in float32 without storing it
        shares = scores.softmax(-1)
    return (shares @ value).transpose(1, 2).contiguous(), None


def _bias(mask, dtype):
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
