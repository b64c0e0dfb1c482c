#!/usr/bin/env bash
# Guess, written down first: texts of one length need no attention mask, so leaving it out or giving ones converts the
# same graph of an encoder (without a cache of keys), for Qwen3 as for BERT; and a Gemma 3 encoder, which is a few layers more, converts too.
#
# Seen: without a mask Qwen3 fails (no rule for aten::diff, of the search for packed sequences, which only runs without
# a mask), with ones it converts and gives the model's vectors. Gemma 3 with bidirectional attention fails with both
# ("unordered_map::at" in the tracer); with a mask for each kind of layer, which its forward takes as a dict, it converts.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 transformers==5.23.0 openvino==2026.4.1 numpy==2.4.6 2> "$work/pip.log"
OPENVINO_TELEMETRY_OPT_OUT=1 "$work/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import openvino
import torch
import transformers
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

warnings.simplefilter("ignore")
transformers.utils.logging.set_verbosity_error()
SIZES = {
    "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 64, "use_cache": False,
}
GEMMA = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"], "use_bidirectional_attention": True}
torch.manual_seed(0)
qwen = transformers.Qwen3Model(transformers.Qwen3Config(**SIZES)).eval()
gemma = transformers.Gemma3TextModel(transformers.Gemma3TextConfig(**SIZES, **GEMMA)).eval()


def of_layers(ids):
    places = torch.arange(ids.shape[1])
    apart = (places[None, :] - places[:, None]).abs()
    hidden = {"full_attention": apart < 0, "sliding_attention": apart >= gemma.config.sliding_window}
    low = torch.finfo(torch.float32).min
    return {
        kind: torch.zeros(apart.shape).masked_fill(off, low)[None, None].expand(ids.shape[0], 1, -1, -1)
        for kind, off in hidden.items()
    }


def converts(model, mask):
    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids):
            given = {} if mask is None else {"attention_mask": mask(input_ids)}
            return self.model(input_ids=input_ids, **given).last_hidden_state

    frontend = FrontEndManager().load_by_framework("pytorch")
    try:
        with torch.no_grad():
            decoder = TorchScriptPythonDecoder(Whole().eval(), example_input={"input_ids": torch.full((2, 8), 5)})
            graph = frontend.convert(frontend.load(decoder))
    except Exception as error:
        said = str(error)
        return "aten::diff" if "aten::diff" in said else "unordered_map::at" if "unordered_map" in said else said[-200:]
    ids = np.random.default_rng(0).integers(5, 60, (3, 23))
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    found = openvino.Core().compile_model(graph, "CPU", options)([ids])[0]
    with torch.no_grad():
        exact = model(input_ids=torch.from_numpy(ids)).last_hidden_state.numpy()
    return "the model's vectors" if np.abs(found - exact).max() < 1e-4 else "other vectors"


seen = {
    "Qwen3, no mask": converts(qwen, None),
    "Qwen3, ones": converts(qwen, torch.ones_like),
    "Gemma 3, no mask": converts(gemma, None),
    "Gemma 3, ones": converts(gemma, torch.ones_like),
    "Gemma 3, a mask for each kind of layer": converts(gemma, of_layers),
}
print("torch", torch.__version__, "transformers", transformers.__version__, "openvino", openvino.__version__)
for way, result in seen.items():
    print(f"{way}: {result}")
expected = ["aten::diff", "the model's vectors", "unordered_map::at", "unordered_map::at", "the model's vectors"]
sys.exit(0 if list(seen.values()) == expected else 1)
PYTHON
