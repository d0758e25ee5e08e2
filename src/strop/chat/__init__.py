"""Conversations to tokens and loss weights, by provenance. Needs neither torch nor transformers."""

from strop.chat.builtin import BUILT_IN, fit_tokenizer
from strop.chat.codec import Codec
from strop.chat.conversation import Conversation, LeftOut, Message, Part
from strop.chat.encode import ChatEncoder
from strop.chat.formats import name_format, parse_conversation, parse_row
from strop.chat.inspection import Example, Inspection, Segment
from strop.chat.notes import MaskReport
from strop.chat.parse import Parsed, parse_answer
from strop.chat.settings import ChatSettings
from strop.chat.text import Text

__all__ = [
    "BUILT_IN",
    "ChatEncoder",
    "ChatSettings",
    "Codec",
    "Conversation",
    "Example",
    "Inspection",
    "LeftOut",
    "MaskReport",
    "Message",
    "Parsed",
    "Part",
    "Segment",
    "Text",
    "fit_tokenizer",
    "name_format",
    "parse_answer",
    "parse_conversation",
    "parse_row",
]
