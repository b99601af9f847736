"""Models of transformers, built from a configuration: nothing is downloaded.

If a configuration has the usual three sizes (width, layers, heads) as integers, the defaults are
small: at most a few million weights. Otherwise the defaults are those of the configuration.
"""

from typing import Any, cast

from torch import nn

from foretell.errors import ForetellError, unknown_name
from foretell.models.python import made
from foretell.models.specs import Like, Task, Wanted
from foretell.names import extra

__all__ = ["from_hf", "hf_names", "hf_wants"]

Settings = dict[str, Any]
WIDTH, LAYERS, HEADS = 128, 4, 4
POSITIONS = ("max_position_embeddings", "n_positions")

HEADS_OF: dict[str, str] = {
    "seq2seq": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "masked": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "causal": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "classify": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "image": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
}
"""The mapping of transformers from model types to classes, for each task."""


def from_hf(name: str, settings: Settings, like: Like) -> nn.Module:
    """A small transformers model by its type, such as gpt2, bert, t5, vit or llama."""
    if settings.get("pretrained", like.pretrained):
        raise ForetellError(
            f"hf:{name} is built from a configuration and has no trained weights; to use trained "
            "weights, write a function in a file of your own that loads them"
        )
    task = task_of(name, settings, like)
    config = configured(name, settings, like)
    transformers = extra("transformers", "hf")
    model = getattr(transformers, heads(task)[name])
    return made(f"hf:{name}", model, {"config": config})


def hf_names() -> list[str]:
    """The model types that have a class for at least one of the tasks."""
    return sorted({name for task in HEADS_OF for name in heads(task)})


def hf_wants(name: str, settings: Settings, like: Like) -> Wanted:
    """Images of the size in the configuration, or text for the task of the model."""
    task = task_of(name, settings, like)
    if task != "image":
        return Wanted("tokens", task=cast(Task, task))
    config = configured(name, settings, like)
    size = getattr(config, "image_size", None) or 224
    height, width = size if isinstance(size, list | tuple) else (size, size)
    channels = getattr(config, "num_channels", like.shape[0])
    return Wanted("image", (channels, height, width))


def heads(task: str) -> dict[str, str]:
    """The class of each model type for this task, if there is one."""
    auto = extra("transformers.models.auto.modeling_auto", "hf")
    mapping = getattr(auto, HEADS_OF[task])
    return {name: head if isinstance(head, str) else head[0] for name, head in mapping.items()}


def task_of(name: str, settings: Settings, like: Like) -> str:
    """The task of the model: the given one, or one that suits the data and the model type."""
    suiting = {  # of several tasks, the first is the one that a type is best known for
        "image": ["image"],
        "tokens": ["classify"] if like.labelled else ["seq2seq", "masked", "causal"],
    }[like.kind]
    if (wanted := settings.get("task")) is not None:
        if wanted not in suiting:
            raise ForetellError(
                f"hf:{name}: task={wanted} does not suit the data; choose from {', '.join(suiting)}"
            )
        suiting = [wanted]
    for task in suiting:
        if name in heads(task):
            return task
    can = [task for task in HEADS_OF if name in heads(task)]
    data = {"image": "images", "tokens": "labelled text" if like.labelled else "text"}[like.kind]
    raise ForetellError(
        f"hf:{name} has no head for {data} ({' or '.join(suiting)}), only for "
        f"{', '.join(can) or 'other tasks'}; give other data"
    )


def configured(name: str, settings: Settings, like: Like) -> Any:
    """The configuration for the data; the user's settings take precedence over the defaults."""
    mapping = extra("transformers", "hf").CONFIG_MAPPING
    kind = mapping[name]
    given = {key: value for key, value in settings.items() if key not in ("task", "pretrained")}
    known = {**kind().to_dict(), **dict.fromkeys(kind.attribute_map), "num_labels": None}
    for key in given:
        if key not in known:
            raise unknown_name("setting", key, known, f"hf:{name} has no setting {key!r}")
    given = {kind.attribute_map.get(key, key): value for key, value in given.items()}
    fitting = small(kind, known, given) | fitted(known, like) | given
    try:
        return kind(**fitting)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ForetellError(f"hf:{name} cannot be configured: {reason}") from error


def fitted(known: Settings, like: Like) -> Settings:
    """The settings that the data determines."""
    fitting: Settings = {"use_cache": False}
    if like.labelled:
        fitting["num_labels"] = like.classes
    if like.vocabulary is None:
        fitting["num_channels"] = like.shape[0]
    else:
        tokens = like.vocabulary
        fitting |= {
            "vocab_size": tokens.size,
            "pad_token_id": tokens.pad,
            "eos_token_id": tokens.end,
            "bos_token_id": tokens.end,
            "decoder_start_token_id": tokens.pad,
            "forced_eos_token_id": None,  # the default is a token of another vocabulary
        }
        for name in POSITIONS:
            if isinstance(known.get(name), int):
                fitting[name] = max(known[name], like.shape[0] + 8)  # some types reserve a few
    return {key: value for key, value in fitting.items() if key in known}


def small(kind: Any, known: Settings, given: Settings) -> Settings:
    """Small sizes, by the names that the type has for them, in proportion to the given ones."""

    def own(name: str) -> str:
        return str(kind.attribute_map.get(name, name))

    usual = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    if not all(isinstance(known.get(own(name)), int) for name in usual):
        return {}
    width = given.get(own("hidden_size"), WIDTH)
    heads_ = given.get(own("num_attention_heads"), HEADS)
    for name, value in (("hidden_size", width), ("num_attention_heads", heads_)):
        if not isinstance(value, int) or value < 1:
            raise ForetellError(f"{name} is {value!r}; give an integer of at least 1")
    sizes: Settings = {own(name): value for name, value in usual.items()}
    sizes |= dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers"), LAYERS)
    sizes |= dict.fromkeys(
        ("encoder_attention_heads", "decoder_attention_heads", "num_key_value_heads"), heads_
    )
    sizes |= dict.fromkeys(("embedding_size", "word_embed_proj_dim"), width)
    sizes |= dict.fromkeys(
        ("intermediate_size", "encoder_ffn_dim", "decoder_ffn_dim", "ffn_dim", "hidden_dim"),
        4 * width,
    )
    sizes |= {"d_ff": 4 * width, own("head_dim"): width // heads_}
    return {name: value for name, value in sizes.items() if isinstance(known.get(name), int)}
