import pytest

from facelime_cli.store.references import Store
from tests.store.making import complete


@pytest.fixture
def store(tmp_path):
    """An empty store; what it warns of is in `said`."""
    said = []
    store = Store(tmp_path / "store", said.append)
    store.said = said
    return store


@pytest.fixture
def artifact(store):
    """A complete artifact."""
    return complete(store)
