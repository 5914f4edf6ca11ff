"""Loads what this project wrote for Hugging Face's tools with those tools, and compares.

    dotnet fsi scripts/roundtrip.fsx FOLDER     writes checkpoints and adapters, each with what this project computes from it
    python3 scripts/roundtrip.py FOLDER         loads each with transformers (and peft, where it is installed)

Every sub-folder holds `expected.safetensors` (input_ids, labels, logits of shape [rows, target length, vocabulary]),
`expected.json` (texts, their token ids, and the greedy answers' ids), and a checkpoint, or an adapter with the name of its base in
`base.txt`. Prints one line for each and ends with 1 if one differs. Needs torch, transformers and safetensors.
"""
import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

# Of the largest logit. Both sides sum in float32 in their own order; bfloat16 weights are the same numbers on both sides.
TOLERANCE = 1e-4


def base_of(folder):
    note = folder / "base.txt"
    return folder.parent / note.read_text().strip() if note.exists() else None


def load(folder):
    """The model of a folder in float32, its adapter applied where it is one."""
    base = base_of(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(base or folder, dtype=torch.float32).eval()
    if base is None:
        return model
    import peft

    return peft.PeftModel.from_pretrained(model, folder).eval()


def check_logits(folder, model):
    held = load_file(folder / "expected.safetensors")
    # The decoder's inputs, not the labels: with a loss, peft asks an AdaLoRA that is not trained for what only training has.
    labels = held["labels"]
    start = torch.full_like(labels[:, :1], model.config.decoder_start_token_id)
    shifted = torch.cat([start, labels[:, :-1]], dim=1)
    shifted = shifted.masked_fill(shifted == -100, model.config.pad_token_id)
    with torch.no_grad():
        found = model(
            input_ids=held["input_ids"], attention_mask=held.get("attention_mask"), decoder_input_ids=shifted
        ).logits
    bound = TOLERANCE * held["logits"].abs().max().item()
    difference = (found - held["logits"]).abs().max().item()
    return difference <= bound, f"logits differ by at most {difference:.1e} of {bound / TOLERANCE:.1f}"


def check_tokens(folder, expected):
    tokenizer = AutoTokenizer.from_pretrained(base_of(folder) or folder)
    wrong = [text for text, ids in expected["tokens"].items() if tokenizer(text).input_ids != ids]
    return not wrong, f"{len(expected['tokens'])} texts give the same ids" if not wrong else f"other ids for {wrong[0]!r}"


def check_answers(folder, model, expected):
    held = load_file(folder / "expected.safetensors")
    given = model.generate(
        input_ids=held["input_ids"],
        attention_mask=held.get("attention_mask"),
        num_beams=1,
        do_sample=False,
        max_new_tokens=expected["limit"],
    )
    end = model.config.eos_token_id

    def cut(row):
        row = row[1:]
        return row[: row.index(end) + 1] if end in row else row

    same = sum(cut(row) == ids for row, ids in zip(given.tolist(), expected["answers"]))
    return same == len(expected["answers"]), f"{same} of {len(expected['answers'])} greedy answers are the same"


def check(folder):
    expected = json.loads((folder / "expected.json").read_text())
    try:
        model = load(folder)
        parts = [check_logits(folder, model)]
        if expected["answers"]:
            parts.append(check_answers(folder, model, expected))
        if expected["tokens"]:
            parts.append(check_tokens(folder, expected))
    except ImportError:
        return None, "peft is not installed"
    except Exception as problem:  # whatever the peer says against our files is the finding
        return False, f"{type(problem).__name__}: {(str(problem) or '-').splitlines()[0]}"
    return all(ok for ok, _ in parts), "; ".join(said for _, said in parts)


def main(root):
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    folders = sorted(note.parent for note in Path(root).glob("*/expected.json"))
    if not folders:
        sys.exit(f"roundtrip.py: {root} holds nothing to load; write it with scripts/roundtrip.fsx first.")
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    failures = 0
    for folder in folders:
        ok, said = check(folder)
        failures += ok is False
        print(f"{'skipped' if ok is None else 'same' if ok else 'DIFFERENT':9} {folder.name}: {said}", flush=True)
    print(f"{len(folders)} folders, {failures} different")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
