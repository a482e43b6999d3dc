SELECT e.model, e.tier, e.arm, COUNT(*) AS n,
  SUM(CASE WHEN e.correct AND NOT b.correct THEN 1 ELSE 0 END) AS gained,
  SUM(CASE WHEN b.correct AND NOT e.correct THEN 1 ELSE 0 END) AS lost
FROM items AS e
JOIN items AS b ON e.stage = b.stage AND e.model = b.model AND e.tier = b.tier AND e.split = b.split
  AND e.seed = b.seed AND e."index" = b."index"
WHERE b.arm = 'baseline' AND e.stage = 'discovery' AND e.arm LIKE 'L%H%@0'
GROUP BY e.model, e.tier, e.arm
ORDER BY e.model, e.tier, e.arm
