CREATE MATERIALIZED VIEW IF NOT EXISTS candles_1d WITH BASE stock_data REFRESH IMMEDIATE AS (
  SELECT timestamp, symbol, data_source,
         coalesce(last_not_null(open), first(price)) AS open,
         greatest(max(price), last_not_null(high), last_not_null(open)) AS high,
         least(min(price), last_not_null(low), last_not_null(open)) AS low,
         last(price) AS close,
         first_not_null(volume) AS cum_vol_open, last_not_null(volume) AS cum_vol_close, count() AS ticks
  FROM stock_data WHERE price IS NOT NULL SAMPLE BY 1d
) PARTITION BY YEAR;
