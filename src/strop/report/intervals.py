"""What an interval is, in the same words on the page and in the terminal."""

from strop.report.files import Summary

ABOUT = (
    "Intervals are 95 %: of rates by Wilson's score interval, of a rate's change on the same items by Bonett and "
    "Price's, of losses by drawing whole conversations again 10,000 times (bootstrap). Where items come in families "
    "(variations of one problem), answers within one are alike, so an interval rests on the families. It speaks of "
    "other items of this kind, not of another training run with another seed."
)


def interval_notes(summary: Summary) -> list[str]:
    """Sentences about the intervals of a run; none where nothing was measured."""
    measured = {**summary.before, **summary.after, **summary.measured}
    if not measured:
        return []
    unknown = sorted(name for name, one in measured.items() if one.value is not None and one.low is None)
    if not unknown:
        return [ABOUT]
    return [ABOUT, f"Not known is the interval of {', '.join(unknown)}: it rests on a single family or conversation."]
