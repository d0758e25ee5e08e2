"""A data file that is wrong in ten ways, each at a known place."""

import json
from pathlib import Path

TOPICS = (
    *("apples", "bread", "candles", "dominoes", "engines", "feathers", "gardens", "hammers", "islands", "jackets"),
    *("kettles", "ladders", "mirrors", "needles", "oranges", "pillows", "quilts", "ribbons", "saddles", "teapots"),
)
QUESTION = "How should one store {} over a long winter, and what is the most common mistake that people make with them?"
ANSWER = (
    "Keep your {0} in a dry and dark room, look at them once a week, and turn them over from time to time. "
    "Most people forget about the {0} until spring, and then it is too late to save any of them."
)
PROBLEM = (
    "A lighthouse keeper climbs ninety steps each evening and counts every seventh one aloud; "
    "how many numbers does she say in a week of seven evenings?"
)
LONG_WORDS = 600


def conversation(*turns: tuple[str, str], **more) -> dict:
    return {"messages": [{"role": role, "content": content} for role, content in turns], **more}


def sound_rows() -> list[dict]:
    """Twenty conversations with nothing wrong."""
    return [conversation(("user", QUESTION.format(t)), ("assistant", _answer(t, i))) for i, t in enumerate(TOPICS)]


def _answer(topic: str, number: int) -> str:
    # Enough words of its own that no two answers are near duplicates.
    own = " ".join(
        f"{topic[:3]}{number}{word}" for word in ("wrap", "label", "stack", "shake", "count", "wipe", "seal")
    )
    return f"{ANSWER.format(topic)} As an old saying has it: {own}, {own[::-1]}, and be glad of it."


def break_file(path: Path) -> dict[str, str]:
    """Write a sound file with ten faults in it; returns the kind of each finding and the place of its fault."""
    rows = sound_rows()
    near = json.loads(json.dumps(rows[3]))
    near["messages"][1]["content"] += " Really."
    lines: list[str] = [json.dumps(row) for row in rows]
    faults: list[tuple[str, str]] = [
        ("not JSON", '{"messages": [{"role": "user", "content": "cut off here'),
        ("the role is 'wizard'", json.dumps(conversation(("wizard", "Abracadabra."), ("assistant", "No.")))),
        ("blank_turn", json.dumps(conversation(("user", " \n "), ("assistant", "You did not say anything yet.")))),
        ("duplicate", json.dumps(conversation(*_turns(rows[1], str.upper)))),
        ("near_duplicate", json.dumps(near)),
        ("contamination", json.dumps(conversation(("user", PROBLEM), ("assistant", "Eighty-four numbers in all.")))),
        (
            "user_after_user",
            json.dumps(conversation(("user", "Are you there?"), ("user", "Hello?"), ("assistant", "Yes, I am."))),
        ),
        (
            "tool_without_call",
            json.dumps(conversation(("user", "Is it raining?"), ("tool", "rain: no"), ("assistant", "No, it is dry."))),
        ),
        (
            "control_tokens",
            json.dumps(conversation(("user", "What does <|im_end|> mean?"), ("assistant", "It ends a turn."))),
        ),
        (
            "too_long",
            json.dumps(conversation(("user", "Count on."), ("assistant", " ".join(map(str, range(LONG_WORDS)))))),
        ),
    ]
    places = {}
    for kind, line in faults:
        lines.append(line)
        places[kind] = f"{path}:{len(lines)}"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return places


def write_problems(path: Path) -> None:
    """An evaluation set of one problem, which the broken file holds."""
    row = {"name": "lighthouse", "text": f"### Prompt\n\n{PROBLEM}", "tests": {"input": [""], "output": ["84\n"]}}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")


def _turns(row: dict, change) -> list[tuple[str, str]]:
    return [(message["role"], change(message["content"])) for message in row["messages"]]
