"""Every settings class refuses what is no number."""

import importlib
import math
import pkgutil

import pytest
from pydantic import BaseModel, ValidationError

import strop


def settings_classes():
    for module in pkgutil.walk_packages(strop.__path__, "strop."):
        name = module.name.rpartition(".")[2]
        if name in ("settings", "recipe", "checkup", "subject"):
            importlib.import_module(module.name)

    def below(kind):
        for each in kind.__subclasses__():
            yield each
            yield from below(each)

    return sorted(
        {k for k in below(BaseModel) if k.__module__.startswith("strop.") and k.model_config.get("extra") == "forbid"},
        key=lambda kind: kind.__qualname__,
    )


CASES = [
    (kind, name)
    for kind in settings_classes()
    for name, field in kind.model_fields.items()
    if "float" in str(field.annotation)
]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan], ids=str)
def test_no_setting_is_infinite_or_nan(kind, name, value):
    given = {"token_weights": {"a": value}, "trained_fraction": (0.0, value)}.get(name, value)
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({name: given})
    assert any(name in error["loc"] for error in caught.value.errors())
