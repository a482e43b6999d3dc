WITH one AS (SELECT * FROM items WHERE run = '20261130_1928_sum-neurons_08dc6f')
SELECT stage, model, tier, arm, role, member, amount, COUNT(*) AS n,
  SUM(CASE WHEN correct THEN 1 ELSE 0 END) AS correct
FROM one
WHERE stage IN ('discovery', 'confirm') AND (role = 'baseline' OR (role IN ('target', 'control') AND edit = 'scale'))
GROUP BY stage, model, tier, arm, role, member, amount
ORDER BY model, tier, stage, arm
