SELECT model, tier, arm, COUNT(*) AS n, SUM(CASE WHEN correct THEN 1 ELSE 0 END) AS correct
FROM items
WHERE stage = 'discovery' AND (arm = 'baseline' OR arm LIKE 'staged%@0' OR arm LIKE 'random%@0')
GROUP BY model, tier, arm
ORDER BY model, tier, arm
