WITH one AS (SELECT * FROM items WHERE run = '20261130_1928_sum-neurons_08dc6f')
SELECT e.stage, e.model, e.tier, e.arm, e.role, e.member, e.amount,
  COUNT(CASE WHEN ABS(e.entropy - b.entropy) < 1e300 THEN e.entropy - b.entropy END) AS entropy_n,
  AVG(CASE WHEN ABS(e.entropy - b.entropy) < 1e300 THEN e.entropy - b.entropy END) AS entropy_mean,
  STDDEV(CASE WHEN ABS(e.entropy - b.entropy) < 1e300 THEN e.entropy - b.entropy END) AS entropy_sd,
  COUNT(CASE WHEN ABS(e.logit_diff - b.logit_diff) < 1e300 THEN e.logit_diff - b.logit_diff END) AS logit_diff_n,
  AVG(CASE WHEN ABS(e.logit_diff - b.logit_diff) < 1e300 THEN e.logit_diff - b.logit_diff END) AS logit_diff_mean,
  STDDEV(CASE WHEN ABS(e.logit_diff - b.logit_diff) < 1e300 THEN e.logit_diff - b.logit_diff END) AS logit_diff_sd
FROM one AS e
JOIN one AS b ON e.stage = b.stage AND e.model = b.model AND e.tier = b.tier AND e.split = b.split
  AND e.seed = b.seed AND e."index" = b."index"
WHERE b.arm = 'baseline' AND e.stage IN ('discovery', 'confirm') AND e.role IN ('target', 'control') AND e.edit = 'scale'
GROUP BY e.stage, e.model, e.tier, e.arm, e.role, e.member, e.amount
ORDER BY e.model, e.tier, e.stage, e.arm
