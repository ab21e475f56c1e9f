"""Fixtures every test may use: data and models that are too large to lie in the repository.

Both skip where the thing is absent, so that a plain clone runs everything else.
"""

import signal
from pathlib import Path

import pytest

from tests.support import smollm2 as smollm2_model

# A shell lets jobs in the background ignore Ctrl-C, and the programs that tests start and stop would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real preference data, in `../shared/data` beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("there is no ../shared/data beside this checkout")
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The folder of a small real language model (SmolLM2-135M-Instruct); `make test-vllm` builds it."""
    if not smollm2_model.is_available():
        pytest.skip("SmolLM2 is not built: python tests/support/smollm2.py says how")
    return smollm2_model.folder()
