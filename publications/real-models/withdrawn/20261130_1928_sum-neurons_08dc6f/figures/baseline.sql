WITH one AS (SELECT * FROM items WHERE run = '20261130_1928_sum-neurons_08dc6f')
SELECT model, tier, seed, COUNT(*) AS n, SUM(CASE WHEN correct THEN 1 ELSE 0 END) AS correct
FROM one
WHERE stage = 'baseline' AND arm = 'baseline'
GROUP BY model, tier, seed
ORDER BY model, tier, seed
