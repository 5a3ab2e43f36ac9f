"""HTTP: requests and responses, the session, the rate limit, time limits, retries and errors."""
