"""Graders of answers, the same for rewards and for evaluation."""

from strop.sandbox import Limits

from .asserts import judge_asserts
from .code import Judgement, Score, judge_answers, judge_fault, judge_program, outputs_match, score_judgement
from .extract import extract_program
from .fences import CodeBlock, code_blocks
from .pool import JudgeFault, map_in_workers
from .syntax import parse_program, syntax_error

__all__ = [
    "CodeBlock",
    "JudgeFault",
    "Judgement",
    "Limits",
    "Score",
    "code_blocks",
    "extract_program",
    "judge_answers",
    "judge_asserts",
    "judge_fault",
    "judge_program",
    "map_in_workers",
    "outputs_match",
    "parse_program",
    "score_judgement",
    "syntax_error",
]
