"""Tiny models: seeded random weights in the real architectures, as sentence-transformers saves them."""

from typing import Any

from tests.fakes import _LETTERS

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ":", *_LETTERS, *(f"##{c}" for c in _LETTERS)]

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
MARKS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Bert": {**SIZES, "max_position_embeddings": 64},
    "Roberta": {**SIZES, "max_position_embeddings": 64},
    "XLMRoberta": {**SIZES, "max_position_embeddings": 64},
    "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64},
    "MPNet": {**SIZES, "max_position_embeddings": 64},
    "Albert": {**SIZES, "embedding_size": 16, "max_position_embeddings": 64},
    "Electra": {**SIZES, "embedding_size": 16, "max_position_embeddings": 64},
    "DebertaV2": {**SIZES, "max_position_embeddings": 64, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "ModernBert": {**SIZES, "max_position_embeddings": 64, "global_attn_every_n_layers": 2, "local_attention": 16},
    "NomicBert": {**SIZES, "max_position_embeddings": 64},
    "EuroBert": {**SIZES, "num_key_value_heads": 1, "max_position_embeddings": 64},
    "T5": {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2},
    "XLNet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
    "Qwen3": {**SIZES, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 64},
    "Gemma3Text": {**SIZES, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 64,
                   "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"],
                   "use_bidirectional_attention": True},
}  # fmt: skip
