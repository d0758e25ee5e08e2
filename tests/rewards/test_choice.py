"""Which option an answer names: a corpus of answers with what they say, read by hand."""

import pytest

from strop.rewards.choice import LETTERS, chosen_letter

COLOURS = ("red", "green", "blue", "dark green")
PETS = ("A dog", "A cat", "a bird", "fish")
NUMBERS = ("12", "12.5", "5", "-5")
TEN = tuple(f"option text {i}" for i in range(10))
CORPUS = [  # answer, letter ("" where it names none), options
    # a distractor that is refuted after the answer, or before it
    ("The answer is B. Option A is wrong because it is red.", "B"),
    ("The correct answer is (B). The other choice C is wrong.", "B"),
    ("Answer: B\n\nExplanation: option A is incorrect, option C does not fit.", "B"),
    ("Option A is wrong, option C is wrong, so option B.", "B"),
    ("Option A is wrong because red is no colour of grass.", ""),
    ("The answer is B, C is wrong.", "B"),
    ("The answer is B and option A is wrong.", "B"),
    ("The answer is B, not A.", "B"),
    ("A is wrong. The answer is B.", "B"),
    ("B is correct. A is incorrect.", "B"),
    ("B is not correct. The answer is C.", "C"),
    ("A) is wrong.", ""),
    ("We can rule out option A. That leaves option B.", "B"),
    ("The wrong answer is A. The right answer is D.", "D"),
    ("The answer is B; the other option is A.", "B"),
    ("The answer can't be A.", ""),
    ("The answer isn't A.", ""),
    # denied, then said
    ("The answer is not A, it is B.", "B"),
    ("The answer is not A but B.", "B"),
    ("It is not option A, but rather option B.", "B"),
    ("The answer is not A.", ""),
    ("I would not choose A.", ""),
    # articles and pronouns
    ("The answer is A cat.", "B", PETS),
    ("The answer is a cat", "B", PETS),
    ("The answer is the cat.", "B", PETS),
    ("The answer is A dog.", "A", PETS),
    ("The answer is A horse.", "", PETS),
    ("The answer is A", "A", PETS),
    ("The answer is A because dogs bark.", "A", PETS),
    ("Choose A friend.", "", PETS),
    ("The answer is I don't know.", "", TEN),
    ("The answer is I think unclear.", "", TEN),
    ("The answer is I.", "I", TEN),
    ("I think so", "", TEN),
    ("The answer is J, I think.", "J", TEN),
    # several
    ("The answer is A or B", ""),
    ("The answer is A and B.", ""),
    ("The answer is either A or C", ""),
    ("The answer is A/B", ""),
    ("Answer: A, B", ""),
    ("The answer is (A) or (B).", ""),
    ("The answer is A or B. Final answer: B", "B"),
    ("Option A or option B", ""),
    # ways of choosing
    ("I choose B", "B"),
    ("I would pick option C.", "C"),
    ("I'd go with (D).", "D"),
    ("So pick C.", "C"),
    ("Many people choose A. The answer is B.", "B"),
    ("Many people choose A.", ""),
    ("My choice is B.", "B"),
    ("I select **B**", "B"),
    ("B is the correct answer.", "B"),
    ("So (B) is the best option.", "B"),
    ("Therefore, option B is correct.", "B"),
    ("The correct answer to this question is B.", "B"),
    ("The answer should be B.", "B"),
    ("The best choice would be C", "C"),
    ("The answer is clearly B.", "B"),
    ("The answer is: **B) green**", "B"),
    ("**Answer:** C", "C"),
    ("Answer - B", "B"),
    ("The answer is option (B).", "B"),
    ("The answer is\n\nB", "B"),
    ("Answer: $\\text{B}$", "B"),
    ("I think option B fits.", "B"),
    ("Answer B", "B"),
    # an option's text
    ("The answer is green.", "B"),
    ("The answer is dark green.", "D"),
    ("The correct answer is \"blue\" because the sky is.", "C"),
    ("Answer: Green", "B"),
    ("The answer is purple.", ""),
    ("The answer is green or red.", ""),
    ("The answer is not green.", ""),
    ("The answer is greenish.", ""),
    ("The answer is 12.5", "B", NUMBERS),
    ("The answer is 12.", "A", NUMBERS),
    ("The answer is -5", "D", NUMBERS),
    ("The answer is 5 apples", "", NUMBERS),
    ("green", "B"),
    ("\\boxed{green}", "B"),
    ("\\boxed{\\text{B. green}}", "B"),
    ("\\boxed{A}, no, \\boxed{C}", "C"),
    # corrections and recitals
    ("The answer is A. Wait, no, the answer is B.", "B"),
    ("First A seemed right. Answer: D", "D"),
    ("A. red\nB. green\nC. blue\nD. dark green", ""),
    ("A. red\nB. green\nC. blue\nD. dark green\n\nB", "B"),
    ("The answer is A? No.\nAnswer: B", "B"),
    ("B. green, because grass is", "B"),
    ("Let me see.\n(C)", "C"),
    ("The answer is A. Hmm, actually it's B.", "B"),
    ("The answer is A.\n\nActually, that's wrong: B.", "B"),
    ("At first I thought the answer is A, but it is B.", "B"),
    ("You might think the answer is A, but the correct one is B.", "B"),
    ("The answer is A. Wait, no, that's wrong.", ""),
    ("The answer is A. No, that's wrong.", ""),
    ("The answer is B. And A? No, that's wrong.", "B"),
    ("The answer cannot be A. It must be C", "C"),
    ("I think it's B", "B"),
    ("It is B.", "B"),
    ("It is B or C.", ""),
    ("I don't think it is B.", ""),
    ("If it is B, all is well.", ""),
    ("The answer is B. Many say it is A.", "B"),
    ("The answer is B. I first thought it was A.", "B"),
    ("The answer is B. It is A that is wrong.", "B"),
    # denied, then mentioned
    ("The answer is not B.\nOption B fails.", ""),
    ("The answer is neither A nor B. Option A is too small, option B too large.", ""),
    ("It cannot be B. Option B is red, so option C.", "C"),
    ("Option A fails. Option B remains.", "B"),
    # a letter alone, or with its reason
    ("B\n\nExplanation: grass is green.", "B"),
    ("B\ngreen is the colour.", "B"),
    ("A\n\nThe colour is that of blood.", "A"),
    ("B\nA common colour.", "B"),
    ("B\nC. blue is not it", ""),
    ("B\nblue", ""),
    ("B\nSo\nC", "C"),
    ("A\nred\nB\ngreen\nHard to say.", ""),
    ("B\nC is wrong.", "B"),
    ("B, since grass is green.", "B"),
    ("B because grass is green", "B"),
    ("B - green", "B"),
    ("B – green", "B"),
    ("B - blue", ""),
    ("D - -5", "D", NUMBERS),
    # tags and LaTeX's fonts
    ("<answer>B</answer>", "B"),
    ("The answer is A.\n<answer>\n(B)\n</answer>", "B"),
    ("<answer>A</answer> No.\n<answer>B. green</answer>", "B"),
    ("<answer>green</answer>", "B"),
    ("<answer>A or B</answer>", ""),
    ("<answer>B", "B"),
    ("Answer: B\n<answer></answer>", "B"),
    ("\\boxed{\\textbf{B}}", "B"),
    ("\\boxed{\\mathrm{B}}", "B"),
    ("\\boxed{\\mathbf{\\text{B}}}", "B"),
    ("\\boxed{\\textbf{B. green}}", "B"),
    ("$\\boxed{\\textbf{(B)}\\ green}$", "B"),
    ("\\boxed{B,}", "B"),
    ("\\boxed{\\text{dark green}}", "D"),
    ("Answer: \\(\\mathbf{B}\\)", "B"),
    ("5 \\text{ cm}", "A", ("5 \\text{ cm}", "5 \\text{ m}")),
    ("The answer is 5 \\text{ m}.", "B", ("5 \\text{ cm}", "5 \\text{ m}")),
    ("I do not know.", ""),
    ("", ""),
    # Chinese
    ("答案是B。选项A不对。", "B"),
    ("选项A错误，选项C错误，选项B是对的", "B"),
    ("答案不是A，而是B。", "B"),
    ("答案是A或B", ""),
    ("排除选项A，故选C", "C"),
    ("正确答案：B。A不对。", "B"),
]  # fmt: skip


@pytest.mark.parametrize("row", CORPUS, ids=lambda row: repr(row[0])[:60])
def test_corpus(row):
    answer, letter, options = (*row, COLOURS)[:3]
    found = chosen_letter(answer, options)
    assert ("" if found is None else LETTERS[found]) == letter


def test_every_letter_is_found_in_every_plain_form():
    """Also A and I, which are words, and with as many options as there are letters."""
    options = [f"text {i}" for i in range(26)]
    for i, letter in enumerate(LETTERS):
        for form in ("{}", "({})", "**{}**", "{}.", "The answer is {}.", "Answer: {}", "I choose {}.", "\\boxed{{{}}}",
                     "{} is correct.", "Final answer: ({})", "答案是{}。", "Answer: {}. text"):  # fmt: skip
            assert chosen_letter(form.format(letter), options) == i, form.format(letter)
