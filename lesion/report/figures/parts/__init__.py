"""What the figures share: charts, marks, colours, and the tables behind them."""
