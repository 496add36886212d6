"""Redis or Valkey, where several nodes share their journal, alerts and provider states: the *engine*."""
