"""Fine-tune on conversations of your own: python examples/sft_own_data.py [MODEL]"""

import sys

import strop

CAPITALS = {
    "France": "Paris",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Peru": "Lima",
    "Norway": "Oslo",
    "Chad": "N'Djamena",
}
ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"What is the capital of {country}?"},
            {"role": "assistant", "content": city},
        ]
    }
    for country, city in CAPITALS.items()
]


def main(model: str = "smollm2-135m") -> None:
    result = strop.sft(model, ROWS, name="capitals", epochs=4, learning_rate=2e-4, global_batch_size=2)
    first, *_, last = [row["loss"] for row in result.steps() if "loss" in row]
    print(f"loss {first:.3f} -> {last:.3f}; model: {result.model}; page: {result.report}")
    print(result.load().chat("What is the capital of Peru?", max_tokens=16))


if __name__ == "__main__":
    main(*sys.argv[1:])
