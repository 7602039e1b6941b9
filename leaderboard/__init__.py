"""The leaderboard: records in, tables out."""
