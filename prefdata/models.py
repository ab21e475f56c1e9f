"""Where a model is: the name `demo` stands for the bundled one wherever a model is asked for."""

from pathlib import Path

from prefdata.errors import PrefdataError

DEMO_MODEL = "demo"


def resolve_model(name: str) -> str:
    """The folder of a model, checked to exist.

    A name with neither a folder behind it nor the form `owner/name` of a hub model is refused here, before an
    engine spends a minute on starting.
    """
    if name == DEMO_MODEL:
        return str(Path(__file__).parent / "demo" / "model")
    if not name:
        raise PrefdataError("No model given: name a model folder, a hub model such as owner/name, or `demo`.")
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file() and not (path / "adapter_config.json").is_file():
            raise PrefdataError(
                f"{name}: no config.json in this folder; a model folder as transformers saves it is needed."
            )
        return str(path)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    raise PrefdataError(
        f"{name}: no such model folder; name a folder with a config.json, owner/name, or `demo`."
    )
