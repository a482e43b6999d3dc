"""A laboratory for causal interventions on transformer language models.

`import lesion` is cheap: it does not import torch. The rooms are documented in docs/design/house.md.
"""

__version__ = "0.1.0"
