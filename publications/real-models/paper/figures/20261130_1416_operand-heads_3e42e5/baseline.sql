WITH one AS (SELECT * FROM items WHERE run = '20261130_1416_operand-heads_3e42e5')
SELECT model, tier, seed, COUNT(*) AS n, SUM(CASE WHEN correct THEN 1 ELSE 0 END) AS correct
FROM one
WHERE stage = 'baseline' AND arm = 'baseline'
GROUP BY model, tier, seed
ORDER BY model, tier, seed
