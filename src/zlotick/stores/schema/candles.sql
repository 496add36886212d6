CREATE MATERIALIZED VIEW IF NOT EXISTS candles_$period WITH BASE stock_data REFRESH IMMEDIATE AS (
  SELECT timestamp, symbol, data_source,
         first(price) AS open, max(price) AS high, min(price) AS low, last(price) AS close,
         first_not_null(volume) AS cum_vol_open, last_not_null(volume) AS cum_vol_close, count() AS ticks
  FROM stock_data WHERE price IS NOT NULL SAMPLE BY $period
) PARTITION BY $partition;
