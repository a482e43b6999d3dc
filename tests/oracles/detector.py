"""Runs in transformer-lens's own environment: python detector.py IN OUT. Its two scores of one head's pattern."""

import sys

import numpy as np
import torch
from transformer_lens.head_detector import (
    compute_head_attention_similarity_score,
    get_induction_head_detection_pattern,
)

given, out = sys.argv[1:]
read = np.load(given)
wanted = get_induction_head_detection_pattern(torch.from_numpy(read["tokens"])[None])
scores = [
    compute_head_attention_similarity_score(
        torch.from_numpy(read["pattern"]), wanted, exclude_bos=False, exclude_current_token=False, error_measure=measure
    )
    for measure in ("mul", "abs")
]
np.save(out, np.array(scores))
