"""Which option of a multiple-choice question an answer in words names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from .boxed import boxes
from .reasoning import without_reasoning

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARK = r"[*_$({\[\"'`]{0,6}(?:\\text\{|\\boxed\{)?[*_(\[]{0,4}"
_NOUN = r"(?:answer|option|choice|letter)"
_ADVERB = (
    r"(?:(?:clearly|definitely|certainly|obviously|probably|likely|indeed|actually|simply|therefore|thus|hence|then"
    r"|most|still|just|now|that|,)\s*)*"
)
_IS = (
    r"(?:(?:\s+is|\s+(?:would|should|must|will|has\s+to)\s+be)\b\s*:?|\s*[:=]|[\s*_]{1,6}[:=–—-])[\s*_]{0,6}"
    rf"{_ADVERB}"
)
_THE = rf"(?:the\s+)?(?:(?:correct|right|best)\s+)?(?:{_NOUN}\s+)?"
_NOT = r"(?<![不別别未备備])(?<!不[应應该該])(?<!不应该)(?<!不應該)"
_SAID = rf"\banswer(?:\s+(?:to|for)\s[^.:!?\n]{{1,80}}?)?{_IS}{_THE}"
_NAMED = rf"\b(?<!other )(?:option|choice|letter){_IS}{_THE}"
_CHOOSES = r"(?:choose|chose|pick|picked|select|selected|(?:go|going)\s+with|vote\s+for)"
_CHOSEN = (
    r"(?:\b(?:I|we)(?:['’](?:d|ll|m))?\s+(?:(?:would|will|must|shall|should|am|have\s+to|therefore|thus|then|rather)\s+){0,3}"
    rf"|(?:^|[.!?:;,\n]\s?)\s?(?:(?:so|thus|therefore|hence|then),?\s+)?){_CHOOSES}\s+{_THE}"
)
_SAID_IN_CHINESE = (
    rf"(?:答案|正解|正[确確]的|{_NOT}[选選](?:[择擇]|(?![项項])))[】》」]?\s*(?:应该|應該|应|應)?[是为為选選]?\s*[:：]?"
    r"\s*(?:[选選][项項]\s*)?[（「【《“]?"
)
_STATED = (rf"(?i:{_SAID})", rf"(?i:{_NAMED})", rf"(?i:{_CHOSEN})", _SAID_IN_CHINESE)
_IT_IS = (  # as a clause of its own: what people say or might think is another's statement
    r"(?i:(?:\A|[.!?,;:\n–—]\s{0,3})(?:(?:so|but|and|no|hence|thus|therefore|then|actually|in\s+fact|rather|wait|hmm+|here"
    r"|sorry|oops|I\s+(?:think|believe|guess))\b[\s,.:!…]{0,6}){0,4}(?:it|the\s+(?:correct|right|actual|real)\s+one)"
    rf"(?:\s+(?:is|(?:should|must)\s+be|has\s+to\s+be)|['’]s)\s+(?:rather\s+|really\s+)?{_ADVERB}{_THE})"
)
_WRONG_SO = r"(?i:\b(?:wrong|incorrect|mistaken)\s*[:;–—-]\s*)"
_TAKEN_BACK = re.compile(
    r"\b(?:wait|hmm+|oops|(?<!\? )(?<!\?\n)no|actually|sorry)\b[\s,.:!…-]{0,6}(?:\w{1,20}[\s,]{1,3}){0,2}?"
    r"(?:(?:that|this|it)(?:\s+(?:is|was)|['’]s)|I(?:\s+(?:am|was)|['’]m))\s+"
    r"(?:wrong|incorrect|mistaken|not\s+(?:right|correct)|a\s+mistake)\b", re.IGNORECASE,
)  # fmt: skip
_MENTIONED = (rf"\b(?i:{_NOUN})s?\s*", rf"{_NOT}[选選][项項]\s*[（「【《“]?")
_RIGHT = r"(?:correct|right|best|true|accurate|appropriate)"
_IS_RIGHT = (  # after a letter
    rf"\s+(?:is|seems|must\s+be)\s+{_ADVERB}(?:(?:the|my)\s+)?(?:(?:most\s+|final\s+)?{_RIGHT}(?![\w-])|(?:final\s+)?"
    r"(?:answer|choice)\b)"
)
_INSTEAD = r"[^.\n]{0,20}?\b(?:but|it\s+is|it's|it’s|is)\s+(?:rather\s+)?"
_INSTEAD_IN_CHINESE = r"[，,、\s]*(?:而|应该?|應該?)*是\s*"
_REFUTED = re.compile(
    r"\s*(?:option\s+)?(?:(?:is|was|seems|looks|are|would\s+be)\s+(?:\w+ly\s+|also\s+|just\s+)?(?:not\b|wrong|incorrect|false|"
    r"out\b|eliminated|impossible)|fail(?:s|ed)\b|(?:is|was|does|do|can|could|would)(?:n['’]t|\s+not)\b|cannot\b|"
    r"(?:是|也|都|显然)*(?:不|错|錯|误|誤))",
    re.IGNORECASE,
)
_IS_REFUTING = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bdoubt|\brule(?:d|s)?\s+out|\beliminat(?:e|ed|ing)|\bexclud(?:e|ed|ing)|"
    r"\b(?:wrong|incorrect|other))\s+(?:\w+\s+)?\Z|(?:排除|不是|不)\s*\Z", re.IGNORECASE,
)  # fmt: skip
_DENIED = rf"(?i:(?:\bnot|\bcannot|n['’]t|\bnever|\bneither|\bnor)\s+(?:\w+\s+)?{_THE})"
_ANOTHER = (
    r"\s*(?:[,、/&]|\bor\b|\band\b|或者?|和|与|與|及)+\s*(?:both\s+|either\s+)?"
    r"(?:(?:option|choice|选项|選項)\s*)?"
)
_ANOTHER_IS_JUDGED = re.compile(r"[)*_\]]*\s*(?:is|was|are|does|do|can|cannot|would|has|isn|doesn|不|是|错|错误)")
_GOES_ON = re.compile(
    "(?:because|since|as|for|due|based|given|in|by|from|with|when|where|which|that|this|the|it|so|not|but|if|is|was|and"
    "|or|here|per|according|under|to|on|at|while|unless|only|i|we|you|they|rather|instead|would|must|can|will|has)",
    re.IGNORECASE,
)
"""Words that may follow the letters A and I; before others they are an article and a pronoun."""
_WIDE = {ord(letter) + 0xFEE0: letter for letter in LETTERS}  # Ｂ
_ENDED = ".):]*_。．、，：）】"
_ENDS = re.escape(_ENDED)
_NO_WORD = r"(?=[\u4e00-\u9fff]|[^\w']|$)"  # goes on; Chinese has no spaces
_CLAUSE_ENDS = r"""[\s*_"'`)\]}$”’]*(?:[.;!,:\n。；！，)](?!\d)|$|\b(?:because|since|as|for)\b)"""
_LETTER_ENDS = (  # a clause, at a letter
    r"""(?=[\s*_)\]}$”’"'`]*(?:[.;!,:。；！，](?!\d)|$|\n|\b(?i:because|since|as|for|not|and\s+not|rather)\b))"""
)
_FONTS = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|math(?:bf|rm|it|sf|tt)|mbox|boldsymbol|bm|emph)\s*\{([^{}]*)\}"
)
_DEEPEST_FONT = 4
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
_OPEN_QUOTES = "*_$\"'`“‘( "


def chosen_letter(answer: str, options: Sequence[str]) -> int | None:
    """The index of the option that ``answer`` names: by letter, or by its whole text; None where it names none.

    Looked for in this order:

    - an answer that is an option's text, or holds one or a letter in ``\\boxed{}``, of which the last counts;
    - the last statement: "the answer is B" or an option's text, "I choose B", "B is correct", "it's B", 答案, 选 or the
      like. One of several letters ("A or B") names none, and so does one that is taken back ("no, that's wrong"); one
      that is denied ("not A") is no statement;
    - the one letter that is mentioned ("option B") and neither refuted ("option A is wrong") nor denied;
    - an answer or a last line that is a letter alone, or begins with one and a mark (``B.``, ``(B)``) or a reason ("B,
      since"); a first line that is a letter alone, where no other begins a line; a last line that is an option's text.

    Of ``<answer>…</answer>`` the last is read, and nothing else; LaTeX's fonts are left out. Upper case only, since "a"
    is a word; so is A before most words, and I.
    """
    text = without_reasoning(answer)
    if tagged := [found for found in _TAGGED.findall(text) if found.strip()]:
        text = tagged[-1]
    reading = _Reading(_plain(text.translate(_WIDE)), tuple(map(_plain, options)))
    text = reading.text
    if len(text) > 1 and (same := reading.whole(text)) is not None:
        return same
    if boxed := boxes(text):
        named = boxed[-1].content.strip()
        letter = re.match(rf"\(?([{reading.letters}])(?:\)|[.:,]\s|[.:,]?\s*$)", named)
        if (found := reading.letters.index(letter[1]) if letter else reading.whole(named)) is not None:
            return found
    if stated := sorted(reading.statements(), key=lambda one: one[0]):
        return stated[-1][1]
    mentioned = set(reading.mentions())
    return mentioned.pop() if len(mentioned) == 1 else reading.by_lines()


@dataclass(frozen=True)
class _Reading:
    """A text that is searched for the options."""

    text: str
    options: tuple[str, ...]

    @cached_property
    def letters(self) -> str:
        return LETTERS[: len(self.options)]

    @cached_property
    def one(self) -> str:
        return rf"{_MARK}([{self.letters}]){_NO_WORD}"

    def statements(self) -> Iterator[tuple[int, int | None]]:
        """Place and option of each; None for several options at once."""
        for lead in _STATED:
            for said in re.finditer(lead, self.text):
                if not _IS_REFUTING.search(self.text[max(said.start() - 30, 0) : said.start()]):
                    yield from self._stated_at(said.end())
        for said in re.finditer(rf"(?<![\w'’]){self.one}(?=[*_)\]}}]*(?i:{_IS_RIGHT}))", self.text):
            if not _IS_REFUTING.search(self.text[max(said.start() - 30, 0) : said.start()]):
                yield said.start(), self._index(said)
        for lead in (_IT_IS, _WRONG_SO):
            for said in re.finditer(rf"{lead}{self.one}{_LETTER_ENDS}", self.text):
                if not _IS_REFUTING.search(self.text[max(said.start() - 30, 0) : said.start()]):
                    yield said.start(1), None if self._has_another(said) else self._index(said)
        yield from ((said.start(), None) for said in _TAKEN_BACK.finditer(self.text))
        nots = (rf"(?i:\bnot\s+{_THE}){self.one}(?i:{_INSTEAD}{_THE})", rf"不是\s*{self.one}{_INSTEAD_IN_CHINESE}")
        for instead in nots:
            for said in re.finditer(instead, self.text):
                yield from self._stated_at(said.end())

    def _stated_at(self, at: int) -> Iterator[tuple[int, int | None]]:
        """What a statement says that begins before ``at``."""
        letter = re.compile(self.one).match(self.text, at)
        if letter is None or self._is_word(letter):
            if (named := self._text_at(at)) is not None:
                yield at, named
        elif self._has_another(letter):
            yield at, None
        elif not _REFUTED.match(self._after(letter)) and not self._after(letter).startswith("?"):
            yield at, self._index(letter)

    def mentions(self) -> Iterator[int]:
        """The letters that are named as options, and neither refuted nor denied."""
        denied = {self._index(said) for said in re.finditer(rf"{_DENIED}{self.one}", self.text)}
        for lead in _MENTIONED:
            for said in re.finditer(rf"{lead}{self.one}", self.text):
                refuting = _IS_REFUTING.search(self.text[max(said.start() - 30, 0) : said.start()])
                if not (
                    refuting or self._index(said) in denied or self._is_word(said) or _REFUTED.match(self._after(said))
                ):
                    yield self._index(said)
                    if self._has_another(said):
                        yield -1

    def by_lines(self) -> int | None:
        """By the beginning of the text, the last line, and the first."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        if not lines:
            return None
        starts = re.compile(rf"{_MARK}[（【]?([{self.letters}])(?:[{_ENDS}\s]|$)")
        reasoned = re.compile(rf"{_MARK}([{self.letters}])(?=,?\s+(?i:because|since|as|for)\s+\S)")
        begin = [(found, self._rest(found, line)) for line in lines if (found := starts.match(line))]
        listed = len({found[1] for found, rest in begin if rest}) > 1  # the options are recited
        if len(lines) > 1 and self._is_alone(starts, lines[0]) and not self._is_alone(starts, lines[-1]):
            said = [
                one for one, rest in begin if not _REFUTED.match(f" {rest}") and not (rest and self._is_article(one))
            ]
            says = {*map(self._index, said), self.whole(lines[-1])} - {None}
            return says.pop() if len(says) == 1 else None
        for line in dict.fromkeys((self.text, lines[-1])):
            if found := starts.match(line):
                rest, own = self._rest(found, line), self._index(found)
                if not rest or (not listed and (found[0][-1] in _ENDED or _same(rest, self.options[own]))):
                    return None if _REFUTED.match(f" {rest}") else own
            if not listed and (found := reasoned.match(line)):
                return self._index(found)
        return self.whole(lines[-1])

    def _is_alone(self, starts: re.Pattern[str], line: str) -> bool:
        """Whether a line is a letter and nothing else."""
        return (found := starts.match(line)) is not None and not self._rest(found, line)

    @staticmethod
    def _is_article(found: re.Match[str]) -> bool:
        return found[1] in "AI" and found[0][-1].isspace()

    def whole(self, text: str) -> int | None:
        """The option whose text it is."""
        return next((i for i, option in enumerate(self.options) if _same(text, option)), None)

    @staticmethod
    def _rest(found: re.Match[str], line: str) -> str:
        return re.sub(r"\A[-–—]\s+", "", line[found.end() :].strip(" .*_)]"))

    def _index(self, letter: re.Match[str]) -> int:
        return self.letters.index(letter[letter.lastindex or 1])

    def _after(self, letter: re.Match[str]) -> str:
        return self.text[letter.end() : letter.end() + 80].lstrip("*_)]}\"'`$")

    def _is_word(self, letter: re.Match[str]) -> bool:
        """Whether it is the article A or the pronoun I."""
        found = letter[letter.lastindex or 1]
        marked = not letter[0].endswith((f" {found}", f"\n{found}")) and letter[0] != found
        after = re.match(r"[ \t]+([a-zA-Z]+)", self.text[letter.end() : letter.end() + 40])
        return found in "AI" and not marked and after is not None and not _GOES_ON.fullmatch(after[1])

    def _has_another(self, letter: re.Match[str]) -> bool:
        after = self._after(letter)
        other = re.match(rf"(?i:{_ANOTHER}){self.one}", after)
        if other is None or self._index(other) == self._index(letter):
            return False
        follows = after[other.end() :]
        pronoun = self._index(other) in (0, 8) and re.match(r"[ \t]+[a-zA-Z]", follows)
        return not pronoun and not _ANOTHER_IS_JUDGED.match(follows)

    def _text_at(self, at: int) -> int | None:
        """The longest option whose text stands there, and ends a clause."""
        rest = self.text[at : at + 1000].lstrip(_OPEN_QUOTES)
        found = []
        for i, option in enumerate(self.options):
            core = _without_article(option.strip(" .*_\"'`"))
            if core and re.match(rf"(?i:(?:an?|the)\s+)?(?i:{re.escape(core)}){_CLAUSE_ENDS}", rest):
                found.append((-len(core), i))
        return min(found)[1] if found else None


def _plain(text: str) -> str:
    """Without LaTeX's fonts and spaces, mathematics between dollar signs."""
    for _ in range(_DEEPEST_FONT):
        text, count = _FONTS.subn(r"\1", text)
        if not count:
            break
    return re.sub(r"\\[ ,;~]", " ", re.sub(r"\\[()\[\]]", "$", text)).strip()


def _without_article(text: str) -> str:
    return re.sub(r"\A(?:an?|the)\s+(?=\S)", "", text, flags=re.IGNORECASE)


def _same(text: str, option: str) -> bool:
    return text.strip(" .*_\"'`").casefold() == option.strip(" .*_\"'`").casefold()
