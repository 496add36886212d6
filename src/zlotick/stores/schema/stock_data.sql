CREATE TABLE IF NOT EXISTS stock_data (
  timestamp TIMESTAMP,
  symbol SYMBOL,
  data_source SYMBOL,
  market_status SYMBOL,
  price DOUBLE,
  change DOUBLE,
  change_percent DOUBLE,
  volume LONG,
  high DOUBLE,
  low DOUBLE,
  open DOUBLE,
  previous_close DOUBLE,
  exchange_time TIMESTAMP,
  received_at TIMESTAMP,
  delay_seconds INT,
  origin SYMBOL,
  review SYMBOL
) TIMESTAMP(timestamp) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(timestamp, symbol, data_source);
