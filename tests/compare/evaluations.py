"""Rows of evaluations, as `evals/<task>.jsonl` has them."""

PASS = "mine_pass@1"


def answers(solved, **fields):
    """Rows of a task ``mine``: one item for each of ``solved``, by name q0, q1 …"""
    return [
        {
            "name": f"q{i}", "family": f"q{i}", "prompt": f"question {i}",
            "asked": f"digest {i}",
            "answer": f"answer {i}\n{['no', 'yes'][one]}",
            "verdict": "accepted" if one else "wrong_answer", "total": 3, "values": {PASS: float(one)}, **fields,
        }
        for i, one in enumerate(solved)
    ]  # fmt: skip


def losses(per_token, tokens=10):
    return [
        {"name": f"c{i}", "family": f"c{i}", "loss": one * tokens, "tokens": tokens} for i, one in enumerate(per_token)
    ]
