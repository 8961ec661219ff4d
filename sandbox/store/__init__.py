"""SQL: the tables, the sessions, and one module of functions per noun that take a session and give domain values."""
