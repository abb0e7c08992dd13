"""PostgreSQL: sessions, indexes, disk."""
