"""Settings are composed by the stage kinds: flat keys, and what a stage would not read is refused."""

import pytest
from pydantic import BaseModel, Field, ValidationError

from strop.common.errors import InputError
from strop.config import load_overrides
from strop.train import settings
from strop.train.settings import LoopSettings, OptimizerSettings, SftTrainSettings, TrainSettings


class Margin(BaseModel):
    """The loss settings of some other stage kind."""

    margin: float = Field(1.0, gt=0)


class OtherTrainSettings(Margin, OptimizerSettings, LoopSettings):
    pass


class Stage(BaseModel):
    train: OtherTrainSettings = Field(default_factory=OtherTrainSettings)


@pytest.mark.parametrize(("here", "refused"), [("2.11.0a0+nv26", True), ("2.12.1", True), ("2.13.0+cu130", False)])
def test_sharding_is_refused_where_torch_cannot_do_it(here, refused, monkeypatch):
    monkeypatch.setattr(settings, "version", {"torch": here}.__getitem__)
    why = settings.unshardable(TrainSettings(), quantised=False)
    expected = f"sharing weights out among ranks needs torch 2.13, and this is {here}; install it"
    assert why == (expected if refused else "")


def test_another_stage_kind_composes_its_own():
    made = load_overrides(Stage, ["train.margin=0.5", "train.learning_rate=1e-3", "train.epochs=2"]).train
    assert (made.margin, made.learning_rate, made.epochs) == (0.5, 1e-3, 2)
    assert OtherTrainSettings(**made.model_dump()) == made


@pytest.mark.parametrize("name", ["dft", "label_smoothing", "reduction", "neftune_alpha"])
def test_what_it_would_not_read_is_refused(name):
    with pytest.raises(InputError, match=f"unknown key 'train.{name}'"):
        load_overrides(Stage, [f"train.{name}=1"])
    assert name in SftTrainSettings.model_fields
    assert name not in TrainSettings.model_fields


def test_a_misspelt_key_names_the_nearest_of_all_parts():
    for wrong, right in (("margn", "margin"), ("lerning_rate", "learning_rate"), ("epoch", "epochs")):
        with pytest.raises(InputError, match=f"did you mean '{right}'"):
            load_overrides(Stage, [f"train.{wrong}=1"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"reduction": "constant"}, "give it, say the longest answer"),
        ({"loss_constant": 9.0}, "loss_constant would not be read"),
        ({"dft": True, "label_smoothing": 0.1}, "choose one of them"),
        ({"muon_momentum": 0.9}, "muon_momentum would not be read"),
        ({"gradient_checkpointing": 0}, "every n-th block"),
    ],
)
def test_each_part_checks_its_own(given, said):
    with pytest.raises(ValidationError, match=said):
        SftTrainSettings(**given)


def test_a_complete_config_reads_as_it_was_written():
    made = SftTrainSettings(label_smoothing=0.1, optimizer="muon", schedule="wsd")
    assert SftTrainSettings(**made.model_dump()) == made
    assert list(SftTrainSettings.model_fields)[:2] == ["epochs", "max_steps"]  # the loop's first
