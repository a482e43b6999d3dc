SELECT stage, model, tier, arm, COUNT(*) AS n, SUM(CASE WHEN correct THEN 1 ELSE 0 END) AS correct
FROM items
WHERE stage IN ('discovery', 'confirm') AND (arm = 'baseline' OR arm LIKE 'target@%' OR arm LIKE 'control%@%')
  AND arm NOT LIKE '%@mean' AND arm NOT LIKE '%@resample'
GROUP BY stage, model, tier, arm
ORDER BY model, tier, stage, arm
