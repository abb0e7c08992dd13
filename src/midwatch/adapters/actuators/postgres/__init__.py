"""PostgreSQL: sessions and indexes."""
