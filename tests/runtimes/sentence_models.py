"""A small random BERT with a real tokenizer: its Hugging Face folder, the archive of it, and what transformers says."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aimass.core.batch import Array
from aimass.core.signature import Signature
from aimass.registry.sentence_file import open_archive
from aimass.runtimes.text.files import sentence_signature
from aimass.runtimes.text.huggingface import pack_folder
from aimass.runtimes.text.phrases import PHRASES

SIZE = 32
MAX_TOKENS = 48
VOCABULARY = 400
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@dataclass(frozen=True)
class SentenceModel:
    """``folder``: as from the hub. ``archive``: as it travels. ``files``: as a replica has them checked out."""

    folder: Path
    archive: Path
    files: Path
    signature: Signature

    def expected(self, texts: Sequence[str]) -> tuple[Array, Array]:
        """Vectors and token counts by transformers' own tokenizer and PyTorch, all texts padded to the longest."""
        import torch
        from transformers import AutoModel, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.folder)
        limits = {"padding": True, "truncation": True, "max_length": MAX_TOKENS}
        read = tokenizer(list(texts), return_tensors="pt", **limits)
        with torch.no_grad():
            states = AutoModel.from_pretrained(self.folder).eval()(**read).last_hidden_state
        mask = read["attention_mask"].unsqueeze(-1).float()
        vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
        return vectors.numpy(), read["attention_mask"].sum(1).numpy()


def make_model(folder: Path) -> SentenceModel:
    """Written, packed and opened; some ten seconds, most of them PyTorch's."""
    source, files = folder / "tiny-bert", folder / "files"
    source.mkdir()
    files.mkdir()
    write_tiny_bert(source)
    pack_folder(source, folder / "tiny-bert.zip")
    open_archive(folder / "tiny-bert.zip", files)
    return SentenceModel(source, folder / "tiny-bert.zip", files, sentence_signature(SIZE))


def write_tiny_bert(folder: Path) -> None:
    """Random weights, large enough for padding to show where a mask is forgotten."""
    import torch
    from transformers import BertConfig, BertModel

    vocabulary = _write_tokenizer(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=SIZE,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=MAX_TOKENS,
        initializer_range=0.3,
    )
    BertModel(config).save_pretrained(folder)


def _write_tokenizer(folder: Path) -> int:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from tokenizers.trainers import WordPieceTrainer

    made = Tokenizer(WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    made.train_from_iterator(PHRASES, WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL))
    ends = [(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    made.enable_truncation(7)  # as the hub's MiniLM has 128 in its file, and reads 256
    made.enable_padding(length=7)
    made.save(str(folder / "tokenizer.json"))
    names = {f"{name.strip('[]').lower()}_token": name for name in SPECIAL}
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": MAX_TOKENS, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return int(made.get_vocab_size())


def rows(texts: Sequence[str]) -> Array:
    """Texts as a batch's array."""
    made = np.empty(len(texts), dtype=object)
    made[:] = texts
    return made
