"""Measures one row of `peft bench` with Hugging Face transformers on this CPU.

    peft bench --peer "python3 scripts/peer.py"

The last argument is the row, one JSON object as `peft bench --dry-run` prints it; the last line of the output is the
measurement, `{"seconds": [..], "peakMiB": ..}`. Needs torch and transformers, nothing else: adapters are a few lines
each here, with the arithmetic of Hugging Face's peft, and cost no more than there.
"""
import json
import sys
import time

import torch
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def give_up(problem):
    sys.exit(f"peer.py: {problem}")


def status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def reset_peak():
    try:
        with open("/proc/self/clear_refs", "w") as control:
            control.write("5")
    except OSError:
        pass


class Around(nn.Module):
    """What stands around a linear map."""

    @property
    def weight(self):
        # T5 asks its maps for the dtype of their weight.
        return self.base.weight


class LowRank(Around):
    """W x + B A x."""

    def __init__(self, base, rank):
        super().__init__()
        dtype = base.weight.dtype
        self.base = base
        self.a = nn.Parameter(torch.randn(rank, base.in_features, dtype=dtype) * 0.02)
        self.b = nn.Parameter(torch.zeros(base.out_features, rank, dtype=dtype))

    def forward(self, x):
        return self.base(x) + nn.functional.linear(nn.functional.linear(x, self.a), self.b)


class Rescaled(Around):
    """s * (W x), or W (s * x)."""

    def __init__(self, base, before):
        super().__init__()
        self.base, self.before = base, before
        size = base.in_features if before else base.out_features
        self.scale = nn.Parameter(torch.ones(size, dtype=base.weight.dtype))

    def forward(self, x):
        return self.base(x * self.scale) if self.before else self.base(x) * self.scale


class Prompted(nn.Module):
    """Soft tokens before the encoder's input."""

    def __init__(self, model, tokens):
        super().__init__()
        self.model = model
        dtype, width = model.shared.weight.dtype, model.config.d_model
        self.prompt = nn.Parameter(torch.randn(tokens, width, dtype=dtype))

    def forward(self, input_ids, attention_mask, labels):
        soft = self.prompt.expand(input_ids.shape[0], -1, -1)
        embedded = torch.cat([soft, self.model.shared(input_ids)], dim=1)
        seen = torch.cat([attention_mask.new_ones(soft.shape[:2]), attention_mask], dim=1)
        return self.model(inputs_embeds=embedded, attention_mask=seen, labels=labels)


def replace(model, wrap):
    """Puts `wrap(name, linear)` in the place of every linear map for which it gives something."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                wrapped = wrap(name, child)
                if wrapped is not None:
                    setattr(parent, name, wrapped)


def adapted(model, technique):
    if technique == "full":
        return model
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    name, _, number = technique.rstrip(")").partition("(")
    number = int(number.partition("=")[2] or 0) if "," not in number else 0
    if name == "lora" and number > 0:
        replace(model, lambda part, base: LowRank(base, number) if part in "qkvo" else None)
    elif technique == "ia3":
        replace(model, lambda part, base: Rescaled(base, part == "wo") if part in ("k", "v", "wo") else None)
    elif technique == "bitfit":
        for part, linear in model.named_modules():
            if isinstance(linear, nn.Linear) and "lm_head" not in part:
                linear.bias = nn.Parameter(torch.zeros(linear.out_features, dtype=linear.weight.dtype))
    elif name == "prompt" and number > 0:
        return Prompted(model, number)
    else:
        give_up(f"no {technique} here")
    return model


def build(row):
    # What says how a published file came about is not needed, and transformers 5 insists on the type of each number.
    told = {"architectures", "model_type", "initializer_factor"}
    shape = {key: value for key, value in row["model"].items() if key not in told}
    config = T5Config(**{**shape, "dropout_rate": float(row["dropout"])})
    torch.manual_seed(0)
    return T5ForConditionalGeneration(config).to(DTYPES[row["dtype"]])


def batch(row):
    words = row["model"]["vocab_size"]
    generator = torch.Generator().manual_seed(1)

    def ids(length):
        return torch.randint(2, words, (row["batch"], length), generator=generator)

    inputs = ids(row["input"])
    return inputs, torch.ones_like(inputs), ids(row["target"])


def timed(row, work):
    seconds = []
    for turn in range(row["warmUp"] + row["repeat"]):
        start = time.perf_counter()
        work()
        if turn >= row["warmUp"]:
            seconds.append(time.perf_counter() - start)
    return seconds


def step(row):
    model = adapted(build(row), row["technique"])
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-4, fused=True)
    inputs, mask, labels = batch(row)

    def work():
        model(input_ids=inputs, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return work


def encoder(row):
    model = build(row).eval()
    inputs, mask, _ = batch(row)
    return torch.inference_mode()(lambda: model.encoder(input_ids=inputs, attention_mask=mask))


def decoding(row):
    model = build(row).eval()
    inputs, mask, _ = batch(row)
    tokens = row["target"]

    @torch.inference_mode()
    def work():
        # No row ends early: each gives exactly this many tokens.
        found = model.generate(
            input_ids=inputs,
            attention_mask=mask,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            num_beams=row["beams"],
        )
        assert found.shape == (row["batch"], tokens + 1), found.shape

    return work


KINDS = {"step": step, "encoder": encoder, "decoding": decoding}


def main():
    row = json.loads(sys.argv[-1])
    if row["threads"] > 0:
        torch.set_num_threads(row["threads"])
    if row["kind"] not in KINDS or row["placement"] != "all" or row["accumulation"] != 1:
        give_up(f"no such row here: {row['kind']} at {row['placement']}")
    work = KINDS[row["kind"]](row)
    reset_peak()
    seconds = timed(row, work)
    print(json.dumps({"seconds": seconds, "peakMiB": status("VmHWM:")}))


if __name__ == "__main__":
    main()
