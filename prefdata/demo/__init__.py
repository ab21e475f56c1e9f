"""The bundled demo task: pictures of coloured shapes, questions about them and a tiny trained model.

`scenes` draws the pictures, `tasks` asks and judges, `words` holds the closed vocabulary, `model/` the trained
weights. Nothing here imports torch: the model folder is opened by whichever engine is asked to.
"""

from pathlib import Path

MODEL_DIR = Path(__file__).parent / "model"
"""The folder that the name `demo` stands for wherever a model is asked for."""
