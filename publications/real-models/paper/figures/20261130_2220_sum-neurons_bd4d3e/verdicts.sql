WITH one AS (SELECT * FROM items WHERE run = '20261130_2220_sum-neurons_bd4d3e')
SELECT e.stage, e.model, e.tier, e.arm, COUNT(*) AS n,
  SUM(CASE WHEN e.correct AND NOT b.correct THEN 1 ELSE 0 END) AS gained,
  SUM(CASE WHEN b.correct AND NOT e.correct THEN 1 ELSE 0 END) AS lost,
  AVG(e.answer_logprob - b.answer_logprob) AS answer_logprob, AVG(e.logit_diff - b.logit_diff) AS logit_diff
FROM one AS e
JOIN one AS b ON e.stage = b.stage AND e.model = b.model AND e.tier = b.tier AND e.split = b.split
  AND e.seed = b.seed AND e."index" = b."index"
WHERE b.arm = 'baseline' AND ((e.stage = 'confirm' AND e.role = 'target')
  OR (e.stage = 'specificity' AND e.role IN ('target', 'set')))
GROUP BY e.stage, e.model, e.tier, e.arm
ORDER BY e.model, e.tier, e.stage, e.arm
