"""Messages between services: publish, consume, request and reply."""
