"""Studio and its HTTP API: models drawn in a browser, without torch in the server."""
