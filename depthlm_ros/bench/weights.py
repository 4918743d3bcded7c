# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Random weights that say numbers as a trained model does.

What weights say decides what reading a number costs: random ones have no opinion, so that every
digit string would be followed, or none. Here what a token says depends almost only on the token
itself: layers write little (they compute as much as any), every embedding holds one of two
directions, and the head reads them. After a digit comes a point; after anything else come the
digits 2, 3, 4 and 5 with probabilities as below. Knows nothing about tokenizers.
"""

# Of the first digit, and of each digit behind a point; the remaining digits share SOME.
LIKELY = {2: 0.45, 3: 0.27, 4: 0.16, 5: 0.09}
SOME = 0.002
CERTAIN = 6.0  # how far, in logits, all digits together or the point stand above the rest
QUIET = 0.05  # what the layers write, relative to usual random weights
NODES = 9  # "2", "3", "4", "5", a point behind each, and "2.2"
TREE = (
    f"the head's rows favour digits: {NODES} nodes a number in 2 rounds (a trained model below"
    " 10 m: 10 on average), eps 0.005, rel 0.05"
)


def fill(model, symbol_ids, seed=0) -> None:
    """Give a model its random weights in place; symbol_ids: of the digits and the point."""
    import torch

    draw = torch.Generator(model.device).manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                quiet = name.endswith(("o_proj.weight", "down_proj.weight"))
                weight.normal_(0, 0.02 * (QUIET if quiet else 1), generator=draw)
            else:
                weight.fill_(0.0 if name.endswith("bias") else 1.0)
        _say_numbers(model, symbol_ids, draw)


def _say_numbers(model, symbol_ids, draw):
    """Embeddings with a direction that tells digits from other tokens, and a head that reads it.

    Both directions are unit axes, and the rest of an embedding keeps out of them.
    """
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    width = head.shape[1]
    embedding.normal_(0, 1, generator=draw)
    embedding[:, :2] = 0
    embedding[:, 0] = width**0.5  # as long as the rest, so half of the normalised state
    embedding[symbol_ids[:10], 0] = 0
    embedding[symbol_ids[:10], 1] = width**0.5
    head.normal_(0, 0.002, generator=draw)
    head[:, :2] = 0
    seen = (width / 2) ** 0.5  # of the direction in a state
    logits = _logits(len(head))
    head[symbol_ids[:10], 0] = logits[:10].to(head) / seen
    head[symbol_ids[10], 1] = logits[10].to(head) / seen


def _logits(vocabulary):
    """(11,): of the digits after anything but a digit, and of the point after a digit."""
    import torch

    shares = torch.full((11,), SOME)
    for digit, share in LIKELY.items():
        shares[digit] = share
    shares[10] = 1.0
    return shares.log() + torch.tensor(float(vocabulary)).log() + CERTAIN
