"""A small model with a chat template in a folder, as an evaluation finds it."""

import pytest


@pytest.fixture(scope="session")
def model_folder(make_model_folder):
    return make_model_folder(["Say one. user assistant hello world"])
