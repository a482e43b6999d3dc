SELECT model, tier, seed, COUNT(*) AS n, SUM(CASE WHEN correct THEN 1 ELSE 0 END) AS correct
FROM items
WHERE stage = 'baseline' AND arm = 'baseline'
GROUP BY model, tier, seed
ORDER BY model, tier, seed
