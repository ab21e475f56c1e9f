"""prefdata: validate, convert, make and train on multimodal preference data.

The `prefdata` package is the data layer: records, formats, findings, mixtures and reports. It imports no
torch and no engine. `pipelines` (question in, preference pairs out) and `trainers` (pairs in, model out)
stand on it and do not know each other; only files connect them.
"""

__version__ = "0.1.0"
