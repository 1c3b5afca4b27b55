import pytest

from tests.mocked_terraform import Mocked, mocked


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Mocked:
    """The state after a deployment with only the required variables."""
    return mocked(tmp_path_factory.mktemp("deployed"), {"defaults": {}}, "apply")["defaults"]
