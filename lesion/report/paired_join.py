"""The SQL that pairs each row of an arm (`e`) with the same item's row of another arm (`b`), and counts changes."""

PAIRED = """FROM items AS e
JOIN items AS b ON e.stage = b.stage AND e.model = b.model AND e.tier = b.tier AND e.split = b.split
  AND e.seed = b.seed AND e."index" = b."index\""""
"""Pairs rows of one stage, model, tier, split, seed and index; a query adds which arms."""
COUNTS = """COUNT(*) AS n,
  SUM(CASE WHEN e.correct AND NOT b.correct THEN 1 ELSE 0 END) AS gained,
  SUM(CASE WHEN b.correct AND NOT e.correct THEN 1 ELSE 0 END) AS lost"""
"""Paired items; answers that became right; answers that became wrong."""
NATS = "AVG(e.answer_logprob - b.answer_logprob) AS answer_logprob, AVG(e.logit_diff - b.logit_diff) AS logit_diff"
"""Mean changes of the continuous outcomes."""
