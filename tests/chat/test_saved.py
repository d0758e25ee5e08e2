"""Chat settings kept with a model: what is written, what wins when a recipe says otherwise, what is said."""

import json
from types import SimpleNamespace

import pytest

from strop.chat import BUILT_IN, ChatSettings
from strop.chat.saved import FILE, chat_of, read_chat, save_chat
from strop.common.errors import InputError

OWN = SimpleNamespace(chat_template="{{ messages }}")
CHATML = SimpleNamespace(chat_template=BUILT_IN["chatml"].text)


def test_what_is_written_is_what_differs_from_the_defaults(tmp_path):
    settings = ChatSettings(template="chatml", template_kwargs={"a": 1}, max_length=9, train_on="last")
    save_chat(tmp_path, settings, "Be brief.", "float32")
    assert json.loads((tmp_path / FILE).read_text()) == {
        "format": 1,
        "settings": {"template": "chatml", "template_kwargs": {"a": 1}},
        "system": "Be brief.",
        "dtype": "float32",
    }
    saved = read_chat(tmp_path)
    assert (saved.system, saved.dtype, saved.note) == ("Be brief.", "float32", None)


def test_a_template_of_the_users_own_is_the_tokenizers(tmp_path):
    save_chat(tmp_path, ChatSettings(template="{{ messages }}"))
    assert json.loads((tmp_path / FILE).read_text()) == {"format": 1, "settings": {}}


def test_what_nobody_set_is_taken_and_said(tmp_path):
    trained = ChatSettings(template_kwargs={"thinking": True}, stop_tokens=["<x>"], control_tokens="keep")
    save_chat(tmp_path, trained)
    settings, notes = chat_of(ChatSettings(max_length=7), tmp_path, OWN)
    assert settings == trained.model_copy(update={"max_length": 7})
    assert notes == [
        'chat settings saved with the model are used: template_kwargs {"thinking": true}, stop_tokens ["<x>"], '
        'control_tokens "keep"'
    ]


def test_what_a_recipe_sets_wins_and_the_difference_is_said_in_one_line(tmp_path):
    save_chat(tmp_path, ChatSettings(template="chatml", template_kwargs={"thinking": True}))
    mine = ChatSettings(template="{{ messages }}!", template_kwargs={}, stop_tokens=["<y>"])
    settings, notes = chat_of(mine, tmp_path, CHATML)
    assert settings == mine
    assert notes == [
        'unlike the recipe\'s chat settings, the model was trained with template "chatml", '
        'template_kwargs {"thinking": true}, stop_tokens []'
    ]


def test_the_same_again_is_not_worth_a_word(tmp_path):
    settings = ChatSettings(template="chatml", template_kwargs={"thinking": True})
    save_chat(tmp_path, settings)
    assert chat_of(settings, tmp_path, CHATML) == (settings, [])
    assert chat_of(settings, tmp_path / "nothing saved", OWN) == (settings, [])


def test_a_built_in_template_that_the_folder_no_longer_has_leaves_its_stop_token(tmp_path):
    save_chat(tmp_path, ChatSettings(template="chatml", stop_tokens=["<x>"]))
    settings, _ = chat_of(ChatSettings(), tmp_path, OWN)
    assert settings.template is None
    assert settings.stop_tokens == ["<x>", "<|im_end|>"]


def test_another_format_is_said_and_not_followed(tmp_path):
    (tmp_path / FILE).write_text('{"format": 2, "settings": {"template_kwargs": {"a": 1}}}')
    settings, notes = chat_of(ChatSettings(), tmp_path, OWN)
    assert settings == ChatSettings()
    assert len(notes) == 1
    assert "is of format 2 and this strop reads 1" in notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        ("[1]", "no chat settings of strop's"),
        ('{"settings": {}}', "no chat settings of strop's"),
        ('{"format": 1, "settings": {"colour": 1}}', "there is no setting 'colour'"),
        ('{"format": 1, "settings": {"max_length": 3}}', "there is no setting 'max_length'"),
        ('{"format": 1, "settings": {"control_tokens": "x"}}', "Input should be"),
        ('{"format": 1, "settings": {}, "system": 3}', "system and dtype are texts"),
        ('{"format": 1, "settings": 3}', "delete it"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, content, message):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match=message) as error:
        read_chat(tmp_path)
    assert str(tmp_path / FILE) in str(error.value)
    assert "\n" not in str(error.value)
