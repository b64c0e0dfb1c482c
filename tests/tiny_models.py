"""Tiny models: seeded random weights in the real architectures, as sentence-transformers saves them."""

from pathlib import Path
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

CLASSES = {"T5": "T5EncoderModel", "Gemma3Text": "Gemma3TextModel"}


def architecture_model(folder: Path, architecture: str, pooling: str = "mean", **settings: Any) -> Path:
    """Return the folder of a seeded model of an architecture, as sentence-transformers saves it.

    Its weights are spread wide, so that the vectors of two texts differ much. `settings` are those of
    `SentenceTransformer`: prompts, truncate_dim, similarity_fn_name.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    layers = Transformer(
        str(transformer(folder.with_name(f"{folder.name}-layers"), architecture)), max_seq_length=16
    )
    model = SentenceTransformer(modules=[layers, Pooling(32, pooling)], device="cpu", **settings)
    model.save(str(folder), create_model_card=False)
    return folder


def transformer(folder: Path, architecture: str) -> Path:
    """Return the folder of a seeded transformer with a tokenizer that cuts words into letters."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    values = {**ARCHITECTURES[architecture], "vocab_size": len(VOCABULARY), **MARKS}
    config = getattr(transformers, f"{architecture}Config")(**values)
    torch.manual_seed(0)
    model = getattr(transformers, CLASSES.get(architecture, f"{architecture}Model"))(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    model.save_pretrained(folder)
    words = Tokenizer(models.WordPiece({token: i for i, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    words.normalizer, words.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip
    return folder


def lora_model(folder: Path) -> Path:
    """Return the folder of a LoRA adapter of a seeded BERT, with the files of sentence-transformers beside it."""
    import json
    import shutil

    from peft import LoraConfig, get_peft_model
    from transformers import BertModel

    whole = architecture_model(folder.with_name(f"{folder.name}-base"), "Bert")
    layers = folder.with_name(f"{folder.name}-base-layers")
    options = LoraConfig(r=4, lora_alpha=8, target_modules=["query", "value"], init_lora_weights=False)
    get_peft_model(BertModel.from_pretrained(layers), options).save_pretrained(folder.with_name("adapter"))
    shutil.copytree(whole, folder)
    for name in ("model.safetensors", "config.json"):
        (folder / name).unlink()
    shutil.copy(folder.with_name("adapter") / "adapter_model.safetensors", folder)
    about = json.loads((folder.with_name("adapter") / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**about, "base_model_name_or_path": str(layers)}))
    return folder
